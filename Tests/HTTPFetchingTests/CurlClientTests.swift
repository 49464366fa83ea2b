import Glibc
import HTTPFetching
import HTTPMessages
import Reactor
import TLS
import TestSupport
import Testing

/// Runs `body` with a libcurl client on a loop, then checks that nothing of it is left.
private func curling(_ body: @escaping @Sendable (EventLoop, CurlClient) async throws -> Void) async throws {
    try await onLoop { loop in
        var options = HTTPClient.Options()
        options.authorityFile = try TestCertificates.shared().authority.certificate
        options.windowPerStream = 100_000
        options.idleConnectionLifetime = .seconds(2)
        let client = try CurlClient(loop, options: options)
        do {
            try await body(loop, client)
        } catch {
            Issue.record(error)
        }
        client.close()
        await loop.wait { client.openExchanges == 0 && client.watchedSockets == 0 }
        #expect(client.openExchanges == 0)
        #expect(client.watchedSockets == 0)
    }
}

private func serverTLS(_ alpn: [String]) throws -> TLSContext {
    let pair = try TestCertificates.shared().server
    return try .server(certificateChainFile: pair.certificate, privateKeyFile: pair.key, alpn: alpn)
}

extension CurlClient {
    fileprivate func failure(of request: FetchRequest, through proxy: ProxyServer? = nil) async -> FetchError? {
        do {
            _ = try await send(request, through: proxy).collect(limit: 1 << 24)
            return nil
        } catch {
            return error as? FetchError
        }
    }
}

@Suite("Fetching through libcurl")
struct CurlClientTests {
    /// Ways to an upstream.
    enum Way: CaseIterable { case direct, socks5, connect, connectOverTLS }

    private static func proxy(_ loop: EventLoop, _ way: Way) throws -> (TestProxy, ProxyServer?) {
        let proxy = try TestProxy(
            loop,
            way == .socks5 ? .socks5 : .connect,
            tls: way == .connectOverTLS ? serverTLS([]) : nil
        )
        let port = proxy.address.port
        switch way {
        case .direct: return (proxy, nil)
        case .socks5: return (proxy, ProxyServer(.socks5, host: "127.0.0.1", port: port))
        case .connect: return (proxy, ProxyServer(.http, host: "127.0.0.1", port: port))
        case .connectOverTLS: return (proxy, ProxyServer(.https, host: "localhost", port: port))
        }
    }

    @Test("a request goes out whole and its answer comes back whole, whatever the way", arguments: Way.allCases)
    func roundTrip(way: Way) async throws {
        try await curling { loop, client in
            let body = pattern(300_000)
            let peer = try HTTP1Peer(loop) { link, request in
                link.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
                link.send(
                    "HTTP/1.1 201 Created\r\nX-Kind: a \r\nx-kind: b\r\ncontent-length: \(request.body.count)\r\n\r\n"
                )
                link.stream.write(request.body.reversed())
            }
            let (proxy, server) = try Self.proxy(loop, way)
            defer {
                peer.close()
                proxy.close()
            }
            var request = FetchRequest.post(peer.address, .auto, "/v1/messages?beta=true", body: body)
            request.head.headers.add("x-api-key", "secret")
            request.head.headers.add("x-empty", "")
            request.head.headers.add("content-length", "7")
            for _ in 0..<2 {
                let response = try await client.send(request, through: server)
                #expect(response.head.status == 201)
                #expect(response.version == .http1)
                #expect(response.head.headers.strings.map(\.name) == ["x-kind", "x-kind", "content-length"])
                #expect(response.head.headers.values("x-kind") == ["a", "b"])
                #expect(try await response.collect(limit: 1 << 20) == body.reversed())
            }
            let seen = try #require(peer.requests.first)
            #expect(seen.body == body)
            #expect(
                seen.lines.map { $0.lowercased() } == [
                    "post /v1/messages?beta=true http/1.1", "host: 127.0.0.1:\(peer.address.port)",
                    "content-type: application/json", "x-api-key: secret", "x-empty:", "content-length: 300000",
                ]
            )
            // The second request used the first one's connection.
            #expect(peer.links.count == 1)
            #expect(proxy.targets == (way == .direct ? [] : ["127.0.0.1:\(peer.address.port)"]))
        }
    }

    @Test(
        "TLS to the upstream goes through the proxy unseen: HTTP/2 where it is asked for, the name checked",
        arguments: Way.allCases
    )
    func throughTLS(way: Way) async throws {
        try await curling { loop, client in
            let peer = try HTTP2Peer(loop, tls: serverTLS(["h2"])) { link, request in
                link.answer("for \(request.path)", on: request.streamID)
            }
            let (proxy, server) = try Self.proxy(loop, way)
            defer {
                peer.close()
                proxy.close()
            }
            let endpoint = Endpoint(isTLS: true, host: "localhost", port: peer.address.port, wireProtocol: .http2)
            let answers = (0..<10).map { index in
                loop.start {
                    let head = HTTPRequestHead(method: "GET", target: "/\(index)")
                    let response = try await client.send(FetchRequest(to: endpoint, head), through: server)
                    #expect(response.version == .http2)
                    return try await response.text()
                }
            }
            for (index, answer) in answers.enumerated() { #expect(try await answer.wait() == "for /\(index)") }
            // A proxy gets the name, not an address of our making.
            if way != .direct { #expect(Set(proxy.targets) == ["localhost:\(peer.address.port)"]) }

            var wrong = endpoint
            wrong.host = "127.0.0.2"
            let failure = await client.failure(
                of: FetchRequest(to: wrong, HTTPRequestHead(method: "GET", target: "/")),
                through: server
            )
            guard case .connect = failure else {
                Issue.record("ended with \(String(describing: failure))")
                return
            }
        }
    }

    @Test("the proxy's password is given, and a wrong one is no connection", arguments: [Way.socks5, .connect])
    func password(way: Way) async throws {
        try await curling { loop, client in
            let peer = try HTTP1Peer(loop) { link, _ in link.answer("ok") }
            let (proxy, plain) = try Self.proxy(loop, way)
            defer {
                peer.close()
                proxy.close()
            }
            proxy.credentials = ("us%er", "p@ss w:rd")
            var server = try #require(plain)
            for (username, password) in [(nil, nil), ("us%er", "wrong")] as [(String?, String?)] {
                server.username = username
                server.password = password
                guard case .connect(let detail) = await client.failure(of: .get(peer.address, .auto), through: server)
                else {
                    Issue.record("let through")
                    return
                }
                #expect(!detail.contains("wrong"))
            }
            #expect(peer.requests.isEmpty)
            server.username = "us%er"
            server.password = "p@ss w:rd"
            #expect(try await client.send(.get(peer.address, .auto), through: server).text() == "ok")
        }
    }

    @Test(
        "an upstream that the proxy cannot reach, and a proxy that is not there, are no connection",
        arguments: Way.allCases
    )
    func unreachable(way: Way) async throws {
        try await curling { loop, client in
            let peer = try HTTP1Peer(loop) { _, _ in }
            let address = peer.address
            peer.close()
            await loop.sleep(.milliseconds(5))
            let (proxy, server) = try Self.proxy(loop, way)
            guard case .connect = await client.failure(of: .get(address, .auto), through: server) else {
                Issue.record("no connect error")
                return
            }
            proxy.close()
            await loop.sleep(.milliseconds(5))
            if server != nil {
                guard case .connect = await client.failure(of: .get(address, .auto), through: server) else {
                    Issue.record("no connect error")
                    return
                }
            }
        }
    }

    @Test(
        "a proxy that says nothing is given up after the time to connect",
        arguments: [Way.socks5, .connect, .connectOverTLS]
    )
    func silentProxy(way: Way) async throws {
        try await curling { loop, client in
            let (proxy, server) = try Self.proxy(loop, way)
            proxy.hangs = true
            defer { proxy.close() }
            var request = FetchRequest.get(proxy.address, .auto)
            request.timeouts.connect = .milliseconds(100)
            #expect(await client.failure(of: request, through: server) == .connectTimedOut)
        }
    }

    @Test("HTTP/1.1 is what is spoken unless HTTP/2 is asked for: only there a reader's pace is the upstream's")
    func version() async throws {
        try await curling { loop, client in
            let peer = try HTTP1Peer(loop, tls: serverTLS(["h2", "http/1.1"])) { link, _ in link.answer("ok") }
            defer { peer.close() }
            let endpoint = Endpoint(isTLS: true, host: "localhost", port: peer.address.port)
            let response = try await client.send(
                FetchRequest(to: endpoint, HTTPRequestHead(method: "GET", target: "/"))
            )
            #expect(response.version == .http1)
            #expect(try await response.text() == "ok")
        }
    }

    @Test("the proxy's environment variables change nothing")
    func environment() async throws {
        try await curling { loop, client in
            let peer = try HTTP1Peer(loop) { link, _ in link.answer("ok") }
            defer { peer.close() }
            setenv("http_proxy", "http://127.0.0.1:1", 1)
            defer { unsetenv("http_proxy") }
            #expect(try await client.send(.get(peer.address, .auto)).text() == "ok")
        }
    }

    @Test("an answer that nobody reads, or whose reader pauses, stops the upstream")
    func pace() async throws {
        try await curling { loop, client in
            try await expectPacing(loop) { try await client.send(.get($0, .auto)) }
        }
    }

    @Test("an HTTP/2 answer whose reader pauses fills libcurl's window and no more, and others go on")
    func http2Pace() async throws {
        try await curling { loop, client in
            let whole = pattern(40 << 20)
            let peer = try HTTP2Peer(loop, tls: serverTLS(["h2"])) { link, request in
                link.head(200, on: request.streamID)
                link.body(request.path == "/big" ? whole : Array("small".utf8), on: request.streamID)
            }
            defer { peer.close() }
            func request(_ path: String) -> FetchRequest {
                FetchRequest(
                    to: Endpoint(isTLS: true, host: "localhost", port: peer.address.port, wireProtocol: .http2),
                    HTTPRequestHead(method: "GET", target: path)
                )
            }
            let response = try await client.send(request("/big"))
            response.setPaused(true)
            let reading = Reading(response)
            await loop.sleep(.milliseconds(300))
            let link = try #require(peer.links.first)
            #expect(link.sent[1, default: 0] <= 32 << 20)
            #expect(try await client.send(request("/small")).text() == "small")
            response.setPaused(false)
            await loop.wait { reading.isEnded }
            #expect(reading.bytes == whole)
        }
    }

    @Test(
        "an answer cut short is an error",
        arguments: [
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbody",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n", "HTTP/1.1 200 OK\r\nx: y\r\n", "",
        ]
    )
    func cutShort(bytes: String) async throws {
        try await curling { loop, client in
            let peer = try HTTP1Peer(loop) { link, _ in
                link.send(bytes)
                link.stream.close()
            }
            defer { peer.close() }
            let failure = await client.failure(of: .get(peer.address, .auto))
            guard case .connectionLost = failure else {
                Issue.record("ended with \(String(describing: failure))")
                return
            }
        }
    }

    @Test(
        "an answer that breaks the protocol is refused",
        arguments: [
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: " + String(repeating: "v", count: 70_000) + "\r\n\r\n",
            String(repeating: "HTTP/1.1 103 Early Hints\r\n\r\n", count: 100),
            // What a caller's program could read as fields of its own, or as another framing.
            "HTTP/1.1 200 OK\r\nx-a: b\rx-c: d\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx-a\rx-c: d\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx-a : b\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx-a: b\r\n x-c: d\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx-a: \u{1}\r\ncontent-length: 0\r\n\r\n",
        ]
    )
    func violations(bytes: String) async throws {
        try await curling { loop, client in
            let peer = try HTTP1Peer(loop) { link, _ in link.send(bytes) }
            defer { peer.close() }
            let failure = await client.failure(of: .get(peer.address, .auto))
            guard case .protocolViolation = failure else {
                Issue.record("\(bytes.prefix(60).debugDescription) ended with \(String(describing: failure))")
                return
            }
        }
    }

    @Test("each timeout counts its own part of the exchange")
    func timeouts() async throws {
        try await curling { loop, client in
            var answer = ""
            let peer = try HTTP1Peer(loop) { link, _ in link.send(answer) }
            defer { peer.close() }
            var request = FetchRequest.get(peer.address, .auto)
            request.timeouts.firstByte = .milliseconds(60)
            #expect(await client.failure(of: request) == .firstByteTimedOut)
            request.timeouts.firstByte = .seconds(10)
            request.timeouts.total = .milliseconds(60)
            #expect(await client.failure(of: request) == .totalTimedOut)
            request.timeouts.total = .seconds(10)
            request.timeouts.idle = .milliseconds(300)
            answer = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbody"
            #expect(await client.failure(of: request) == .idleTimedOut)
            // Not while the reader pauses.
            let response = try await client.send(request)
            let reading = Reading(response)
            response.setPaused(true)
            await loop.sleep(.milliseconds(500))
            #expect(!reading.isEnded)
            response.setPaused(false)
            await loop.wait { reading.isEnded }
            #expect(reading.ends == [.idleTimedOut])
            #expect(reading.text == "body")
        }
    }

    @Test("cancelling before the head, in the body, from within a callback and by letting go closes the connection")
    func cancelling() async throws {
        try await curling { loop, client in
            var answer = ""
            let peer = try HTTP1Peer(loop) { link, _ in link.send(answer) }
            defer { peer.close() }
            let request = FetchRequest.get(peer.address, .auto)
            let canceller = FetchCanceller()
            let sent = loop.start { try await client.send(request, canceller: canceller) }
            await loop.wait { !peer.requests.isEmpty }
            canceller.cancel()
            await #expect(throws: FetchError.cancelled) { _ = try await sent.wait() }
            answer = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbody"
            try await client.send(request).cancel()
            _ = try await client.send(request)
            let response = try await client.send(request)
            var calls = 0
            response.consume { _ in
                calls += 1
                response.cancel()
            } onEnd: { _ in
                calls += 100
            }
            await loop.wait { calls > 0 && peer.links.count == 4 && peer.links.allSatisfy(\.isEnded) }
            #expect(calls == 1)
            #expect(peer.links.count == 4)
            #expect(peer.links.allSatisfy { $0.isEnded })
            #expect(client.openExchanges == 0)
        }
    }

    @Test("HTTP/2 without TLS and heads that would break the framing are refused before anything is sent")
    func refusals() async throws {
        try await curling { loop, client in
            let peer = try HTTP1Peer(loop) { link, _ in link.answer("ok") }
            defer { peer.close() }
            guard case .connect = await client.failure(of: .get(peer.address, .http2)) else {
                Issue.record("sent")
                return
            }
            var request = FetchRequest.get(peer.address, .auto)
            request.head.headers.add("x-a", "b\r\nx-c: d")
            #expect(await client.failure(of: request) == .protocolViolation(detail: "request cannot be written"))
            request = .get(peer.address, .auto)
            request.endpoint.host = "user@127.0.0.1"
            #expect(await client.failure(of: request) == .protocolViolation(detail: "request cannot be written"))
            #expect(peer.requests.isEmpty)
        }
    }

    @Test("requests with different tags do not share a connection, and idle ones are closed after their lifetime")
    func isolation() async throws {
        try await curling { loop, client in
            let peer = try HTTP1Peer(loop) { link, _ in link.answer("ok") }
            defer { peer.close() }
            for tag in [1, 2, 1, nil] as [Int64?] {
                var request = FetchRequest.get(peer.address, .auto)
                request.endpoint.isolation = tag
                #expect(try await client.send(request).text() == "ok")
            }
            #expect(peer.links.count == 3)
            await loop.wait { peer.links.allSatisfy(\.isEnded) }
            #expect(peer.links.allSatisfy { $0.isEnded })
        }
    }
}
