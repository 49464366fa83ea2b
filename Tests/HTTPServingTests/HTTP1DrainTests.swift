import HTTPMessages
import HTTPServing
import Reactor
import TestSupport
import Testing

@Suite("Draining HTTP/1 callers", .timeLimit(.minutes(15)))
struct HTTP1DrainTests {
    @Test("idle connections end at once, answers under way are finished and then their connections end")
    func drains() async throws {
        try await onLoop { loop in
            var kept: [ServerExchange] = []
            let go = Promise<Void>()
            let server = try TestServer(loop) { exchange in
                if exchange.request.target == "/" { return exchange.respond(200, "ok") }
                kept.append(exchange)
                if exchange.request.target == "/started" {
                    exchange.startResponse(HTTPResponseHead(status: 200))
                    exchange.write("begun ")
                } else {
                    try? await go.wait()
                    exchange.respond(200, "late")
                }
            }
            // The first: what it has sent has arrived before the later ones are answered.
            let arriving = try await server.connect()
            arriving.send("GET / HTTP/1.1\r\nHo")
            let idle = try await server.connect()
            #expect(try await idle.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 200)
            let untouched = try await server.connect()
            let started = try await server.connect()
            started.send("GET /started HTTP/1.1\r\nHost: a\r\n\r\n")
            let waiting = try await server.connect()
            waiting.send("GET /waiting HTTP/1.1\r\nHost: a\r\n\r\n")
            try await server.until { kept.count == 2 && server.server.openConnections == 5 }

            var result: Bool?
            loop.spawn { result = await server.server.drain(deadline: .seconds(20)) }
            #expect(try await idle.rest().isEmpty)
            #expect(try await untouched.rest().isEmpty)
            // Nobody listens any more; if a connection is made all the same, the port has gone to another process.
            _ = try? await server.connect()
            #expect(server.server.openConnections <= 3)
            #expect(result == nil)
            arriving.send("st: a\r\n\r\n")
            #expect(try await arriving.rest().contains("connection: close"))
            go.succeed(())
            #expect(try await waiting.rest().contains("connection: close"))
            #expect(waiting.text.hasSuffix("late"))
            let stream = kept.first { $0.request.target == "/started" }
            stream?.write("and ended")
            #expect(result == nil)
            stream?.finish()
            #expect(try await started.rest().hasSuffix("6\r\nbegun \r\n9\r\nand ended\r\n0\r\n\r\n"))
            try await server.until { result != nil }
            #expect(result == true)
            #expect(server.server.openConnections == 0)
            #expect(server.server.openExchanges == 0)
        }
    }

    @Test("what is not finished at the deadline is cut, and the answer says so")
    func cuts() async throws {
        try await onLoop { loop in
            var gone = 0
            let server = try TestServer(loop) { exchange in
                exchange.onCallerGone = { gone += 1 }
                exchange.startResponse(HTTPResponseHead(status: 200))
            }
            let client = try await server.connect()
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try await client.wait(for: "\r\n\r\n")
            #expect(await server.server.drain(deadline: .milliseconds(50)) == false)
            #expect(gone == 1)
            #expect(server.server.openConnections == 0)
            _ = try await client.rest()
        }
    }

    @Test("a large answer is delivered whole to a slow caller although the server drains")
    func largeAnswer() async throws {
        try await onLoop { loop in
            var isAsked = false
            let server = try TestServer(loop) { exchange in
                isAsked = true
                exchange.respond(HTTPResponseHead(status: 200), body: [UInt8](repeating: 5, count: 30_000_000))
            }
            let client = try await server.connect()
            client.stream.setReading(false)
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try await server.until { isAsked }
            var result: Bool?
            loop.spawn { result = await server.server.drain(deadline: .seconds(40)) }
            // Longer than a socket that is just closed would wait.
            await loop.sleep(.milliseconds(2500))
            #expect(result == nil)
            client.stream.setReading(true)
            try await client.wait { $0.hasEnded }
            #expect(client.received.count > 30_000_000)
            try await server.until { result != nil }
            #expect(result == true)
        }
    }

    @Test("a server that is let go stops listening")
    func letGo() async throws {
        try await onLoop { loop in
            weak var released: HTTPServer?
            do {
                let server = HTTPServer(loop, limits: HTTPServerLimits()) { $0.respond(200, "") }
                _ = try server.listen(on: #require(SocketAddress("127.0.0.1:0")))
                released = server
            }
            #expect(released == nil)
            var drained: HTTPServer? = HTTPServer(loop, limits: HTTPServerLimits()) { $0.respond(200, "") }
            _ = try drained?.listen(on: #require(SocketAddress("127.0.0.1:0")))
            released = drained
            #expect(await drained?.drain(deadline: .seconds(1)) == true)
            drained = nil
            #expect(released == nil)
        }
    }
}
