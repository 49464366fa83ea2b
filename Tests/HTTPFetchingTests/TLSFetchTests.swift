import HTTPFetching
import HTTPMessages
import Reactor
import TLS
import TestSupport
import Testing

@Suite("Fetching over TLS")
struct TLSFetchTests {
    private static func serverTLS(_ alpn: [String], isExpired: Bool = false) throws -> TLSContext {
        let certificates = try TestCertificates.shared()
        let pair = isExpired ? certificates.expired : certificates.server
        return try .server(certificateChainFile: pair.certificate, privateKeyFile: pair.key, alpn: alpn)
    }

    private static func options() throws -> HTTPClient.Options {
        var options = HTTPClient.Options()
        options.authorityFile = try TestCertificates.shared().authority.certificate
        return options
    }

    private static func request(
        _ address: SocketAddress,
        _ wire: Endpoint.WireProtocol,
        host: String = "localhost"
    ) -> FetchRequest {
        FetchRequest(
            to: Endpoint(isTLS: true, host: host, port: address.port, wireProtocol: wire),
            HTTPRequestHead(method: "GET", target: "/")
        )
    }

    @Test("the protocol is agreed by ALPN: HTTP/2 where both want it", arguments: [Endpoint.WireProtocol.auto, .http2])
    func http2(wire: Endpoint.WireProtocol) async throws {
        try await fetching(Self.options()) { loop, client in
            let peer = try HTTP2Peer(loop, tls: Self.serverTLS(["h2", "http/1.1"])) { link, request in
                link.answer("ok \(request[":scheme"] ?? "")", on: request.streamID)
            }
            defer { peer.close() }
            let address = peer.address
            let answers = (0..<20).map { _ in
                loop.start {
                    let response = try await client.send(Self.request(address, wire))
                    #expect(response.version == .http2)
                    return try await response.text()
                }
            }
            for answer in answers { #expect(try await answer.wait() == "ok https") }
            #expect(peer.links.count == 1)
        }
    }

    /// The second request waits for a connection that is still being made while the first one's answer comes.
    @Test("what follows an answer is never the answer to a request that waits")
    func unaskedAnswer() async throws {
        try await fetching(Self.options()) { loop, client in
            var second: Promise<String>?
            var address: SocketAddress?
            let peer = try HTTP1Peer(loop, tls: Self.serverTLS(["http/1.1"])) { link, request in
                guard second == nil, let address else { return link.answer("own") }
                second = loop.start { try await client.send(Self.request(address, .http1)).text() }
                link.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nown")
                link.send("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nunasked")
            }
            defer { peer.close() }
            address = peer.address
            #expect(try await client.send(Self.request(peer.address, .http1)).text() == "own")
            #expect(try await second?.wait() == "own")
        }
    }

    @Test(
        "HTTP/1.1 where the upstream knows no better, or it is asked for",
        arguments: [(["http/1.1"], .auto), ([], .auto), (["h2", "http/1.1"], .http1)]
            as [([String], Endpoint.WireProtocol)]
    )
    func http1(alpn: [String], wire: Endpoint.WireProtocol) async throws {
        try await fetching(Self.options()) { loop, client in
            let peer = try HTTP1Peer(loop, tls: Self.serverTLS(alpn)) { link, _ in link.answer("ok") }
            defer { peer.close() }
            let address = peer.address
            let answers = (0..<5).map { _ in
                loop.start {
                    let response = try await client.send(Self.request(address, wire))
                    #expect(response.version == .http1)
                    return try await response.text()
                }
            }
            for answer in answers { #expect(try await answer.wait() == "ok") }
        }
    }

    @Test("HTTP/2 that is asked for and not spoken is an error", arguments: [["http/1.1"], []])
    func http2Missing(alpn: [String]) async throws {
        try await fetching(Self.options()) { loop, client in
            let peer = try HTTP1Peer(loop, tls: Self.serverTLS(alpn)) { link, _ in link.answer("ok") }
            defer { peer.close() }
            guard case .connect = await client.failure(of: Self.request(peer.address, .http2)) else {
                Issue.record("connected")
                return
            }
        }
    }

    @Test(
        "an upstream that cannot prove its name gets no request",
        arguments: [("127.0.0.2", false, true), ("localhost", true, true), ("localhost", false, false)]
    )
    func untrusted(host: String, isExpired: Bool, hasAuthority: Bool) async throws {
        try await fetching(hasAuthority ? Self.options() : .init()) { loop, client in
            let peer = try HTTP1Peer(loop, tls: Self.serverTLS([], isExpired: isExpired), on: "0.0.0.0:0") { link, _ in
                link.answer("ok")
            }
            defer { peer.close() }
            guard case .connect(let detail) = await client.failure(of: Self.request(peer.address, .auto, host: host))
            else {
                Issue.record("connected")
                return
            }
            #expect(detail.contains("certificate"))
            #expect(peer.requests.isEmpty)
        }
    }

    @Test("an answer without a length that ends without close_notify is cut short, not whole")
    func truncation() async throws {
        try await fetching(Self.options()) { loop, client in
            var tcp: [TCPStream] = []
            let context = try Self.serverTLS([])
            let peer = try HTTP1Peer(loop, tls: context) { link, _ in
                link.send("HTTP/1.1 200 OK\r\n\r\nhalf")
                loop.spawn {
                    await loop.sleep(.milliseconds(10))
                    tcp.last?.close()
                }
            }
            peer.onTCP = { tcp.append($0) }
            defer { peer.close() }
            guard case .connectionLost = await client.failure(of: Self.request(peer.address, .auto)) else {
                Issue.record("taken for whole")
                return
            }
        }
    }
}
