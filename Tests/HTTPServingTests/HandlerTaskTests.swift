import HTTPMessages
import HTTPServing
import Reactor
import TestSupport
import Testing

@Suite("Tasks of handlers", .timeLimit(.minutes(5)))
struct HandlerTaskTests {
    /// Something that must not be kept, and whether it is.
    private final class Watch<Object: AnyObject> {
        weak var object: Object?
    }

    @Test("more exchanges at once than tasks are kept are all answered, and those after them")
    func rush() async throws {
        try await onLoop { loop in
            var here = 0
            let server = try TestServer(loop) { exchange in
                here += 1
                while here % 100 != 0 { await loop.sleep(.milliseconds(1)) }
                exchange.respond(200, exchange.request.target)
            }
            var clients: [RawClient] = []
            for _ in 0..<100 { clients.append(try await server.connect()) }
            for wave in 1...3 {
                for client in clients { client.send("GET /\(wave) HTTP/1.1\r\nHost: a\r\n\r\n") }
                for client in clients { #expect(try await client.answer().body == "/\(wave)") }
            }
            #expect(here == 300)
            await server.stop()
        }
    }

    @Test("nothing of an exchange is kept when its handler has returned")
    func letsGo() async throws {
        try await onLoop { loop in
            let watch = Watch<ServerExchange>()
            let server = try TestServer(loop) { exchange in
                watch.object = exchange
                exchange.respond(200, "")
            }
            let client = try await server.connect()
            for _ in 0..<3 { _ = try await client.exchange(HTTP1ServingTests.get) }
            try await server.until("the exchange to be gone") { watch.object == nil }
            await server.stop()
        }
    }

    @Test("a server that is gone leaves no tasks behind")
    func ends() async throws {
        final class Token {}
        try await onLoop { loop in
            let watch = Watch<Token>()
            do {
                let token = Token()
                watch.object = token
                let server = try TestServer(loop) { exchange in
                    withExtendedLifetime(token) { exchange.respond(200, "") }
                }
                let client = try await server.connect()
                _ = try await client.exchange(HTTP1ServingTests.get)
                client.stream.abort()
                await server.stop()
            }
            let start = MonotonicTime.now
            while watch.object != nil, start.elapsed < .seconds(60) { await loop.sleep(.milliseconds(1)) }
            #expect(watch.object == nil)
        }
    }

    @Test("a caller that has left before its handler began finds an exchange that does nothing")
    func callerGone() async throws {
        try await onLoop { loop in
            var gone: [Bool] = []
            let server = try TestServer(loop) { exchange in
                while !exchange.isCallerGone { await loop.sleep(.milliseconds(1)) }
                exchange.respond(200, "")
                gone.append(exchange.isCallerGone)
            }
            for _ in 0..<2 {
                let client = try await server.connect()
                client.send(HTTP1ServingTests.get)
                client.stream.close()
            }
            try await server.until("two handlers") { gone.count == 2 }
            #expect(gone == [true, true])
            #expect(server.server.openExchanges == 0)
            await server.stop()
        }
    }
}
