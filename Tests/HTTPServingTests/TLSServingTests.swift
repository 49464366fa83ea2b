import HTTPMessages
import HTTPServing
import Reactor
import TLS
import TestSupport
import Testing

@Suite("TLS callers", .timeLimit(.minutes(15)))
struct TLSServingTests {
    private static func serve(_ loop: EventLoop) throws -> (HTTPServer, SocketAddress, TLSContext) {
        let certificates = try TestCertificates.shared()
        let server = HTTPServer(loop, limits: HTTPServerLimits()) { exchange in
            let body = (try? await exchange.collectBody(limit: 10_000_000)) ?? []
            if exchange.request.target == "/large" {
                return exchange.respond(HTTPResponseHead(status: 200), body: [UInt8](repeating: 1, count: 5_000_000))
            }
            exchange.respond(200, "\(exchange.version) \(exchange.isTLS) \(body.count)")
        }
        let tls = try TLSContext.server(
            certificateChainFile: certificates.server.certificate,
            privateKeyFile: certificates.server.key,
            alpn: ["h2", "http/1.1"]
        )
        let address = try server.listen(on: #require(SocketAddress("127.0.0.1:0")), tls: tls)
        return (server, address, tls)
    }

    private static func connect(_ loop: EventLoop, _ address: SocketAddress, alpn: [String]) async throws
        -> any ByteStream
    {
        let context = try TLSContext.client(alpn: alpn, authorityFile: TestCertificates.shared().authority.certificate)
        let socket = try await TCPStream.connect(loop, to: address, timeout: .seconds(30))
        return try await context.connect(socket, serverName: "localhost", timeout: .seconds(30))
    }

    @Test("a caller that offers h2 gets it, with large bodies both ways")
    func http2() async throws {
        try await onLoop { loop in
            let (server, address, tls) = try Self.serve(loop)
            let stream = try await Self.connect(loop, address, alpn: ["h2", "http/1.1"])
            #expect(stream.negotiatedProtocol == "h2")
            let client = try HTTP2TestClient(loop, stream)
            #expect(try await client.get("/").text == "http2 true 0")
            let post = client.request("/", method: "POST", body: [UInt8](repeating: 2, count: 1_000_000))
            #expect(try await client.response(post).text == "http2 true 1000000")
            #expect(try await client.get("/large").body.count == 5_000_000)
            _ = await server.drain(deadline: .seconds(5))
            withExtendedLifetime(tls) {}
        }
    }

    @Test("a caller that offers HTTP/1.1, or nothing, gets that", arguments: [["http/1.1"], []])
    func http1(alpn: [String]) async throws {
        try await onLoop { loop in
            let (server, address, tls) = try Self.serve(loop)
            let client = RawClient(loop, try await Self.connect(loop, address, alpn: alpn))
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            #expect(try await client.answer().body == "http1 true 5")
            client.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            try await client.wait { $0.hasEnded }
            #expect(client.received.count > 5_000_000)
            _ = await server.drain(deadline: .seconds(5))
            withExtendedLifetime(tls) {}
        }
    }

    @Test("a caller that does not speak TLS is closed, and nothing is left behind")
    func plain() async throws {
        try await onLoop { loop in
            let (server, address, tls) = try Self.serve(loop)
            let client = RawClient(loop, try await TCPStream.connect(loop, to: address, timeout: .seconds(30)))
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try await client.wait { $0.hasEnded }
            #expect(server.openConnections == 0)
            withExtendedLifetime(tls) {}
        }
    }
}
