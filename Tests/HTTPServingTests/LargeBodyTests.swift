import HTTPMessages
import HTTPServing
import Reactor
import TestSupport
import Testing

/// Bodies of which most is read straight to where it belongs.
@Suite("Large bodies of HTTP/1 callers", .timeLimit(.minutes(15)))
struct LargeBodyTests {
    private static func post(_ body: [UInt8]) -> [UInt8] {
        Array("POST /\(body.count) HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body
    }

    /// Answers with what came, as far as that is what `patterned` makes.
    private static func echo(_ exchange: ServerExchange) async {
        guard let body = try? await exchange.collectBody(limit: 8 << 20) else { return }
        let isWhole = body == patterned(body.count) && body.capacity >= body.count + 64
        exchange.respond(200, "\(exchange.request.target) \(body.count) \(isWhole)")
    }

    @Test(
        "a body arrives whole in pieces of every size, and requests follow it",
        arguments: [1000, 16_383, 16_384, 16_385, 40_000, 65_535, 100_000, 1 << 20]
    )
    func pieces(size: Int) async throws {
        try await onLoop { loop in
            let server = try TestServer(loop, handler: Self.echo)
            let client = try await server.connect()
            let counts = [15_000, 33_000, 200_000, 1 << 20, (3 << 20) + 7]
            let input = counts.flatMap { Self.post(patterned($0)) }
            for start in stride(from: 0, to: input.count, by: size) {
                client.send([UInt8](input[start..<min(start + size, input.count)]))
                if start % 5 == 0 { await loop.sleep(.zero) }
            }
            for count in counts { #expect(try await client.answer().body == "/\(count) \(count) true") }
            await server.stop()
        }
    }

    @Test("the head may end anywhere in what is read first", arguments: [-2, -1, 0, 1, 2])
    func heads(offset: Int) async throws {
        try await onLoop { loop in
            let server = try TestServer(loop, handler: Self.echo)
            let client = try await server.connect()
            for first in [16_384, 32_768] {
                let body = patterned(100_000)
                let plain = Self.post(body)
                let pad = String(
                    repeating: "x",
                    count: first - (plain.count - body.count) - "X: \r\n".utf8.count + offset
                )
                var request = plain
                request.insert(contentsOf: "X: \(pad)\r\n".utf8, at: "POST /100000 HTTP/1.1\r\n".utf8.count)
                client.send(request)
                #expect(try await client.answer().body == "/100000 100000 true")
            }
            await server.stop()
        }
    }

    @Test("a body that is not asked for at once waits, and then arrives whole")
    func late() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                await loop.sleep(.milliseconds(20))
                await Self.echo(exchange)
            }
            let client = try await server.connect()
            for count in [200_000, 2_000_000, 100_000] { client.send(Self.post(patterned(count))) }
            for count in [200_000, 2_000_000, 100_000] {
                #expect(try await client.answer().body == "/\(count) \(count) true")
            }
            await server.stop()
        }
    }

    @Test("a caller that leaves within its body is gone, however much of it there is", arguments: [70_000, 199_999])
    func leaves(sent: Int) async throws {
        try await onLoop { loop in
            let failure = Promise<RequestBodyError?>()
            let server = try TestServer(loop) { exchange in
                do {
                    _ = try await exchange.collectBody(limit: 1 << 20)
                    failure.succeed(nil)
                } catch {
                    failure.succeed(error as? RequestBodyError)
                }
            }
            let client = try await server.connect()
            client.send([UInt8](Self.post(patterned(200_000)).prefix(sent)))
            await loop.sleep(.milliseconds(5))
            client.stream.close()
            #expect(try await failure.wait() == .callerGone)
            await server.stop()
        }
    }

    @Test("what exceeds the memory for all bodies is refused with 503, and its memory given back")
    func budget() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                if let body = try? await exchange.collectBody(limit: 8 << 20) { exchange.respond(200, "\(body.count)") }
            }
            let budget = ByteBudget(limit: 300_000)
            server.server.bodyBudget = budget
            for _ in 0..<3 {
                let client = try await server.connect()
                client.send(Self.post(patterned(1_000_000)))
                #expect(try await client.answer().status == 503)
                client.stream.abort()
                let small = try await server.connect()
                small.send(Self.post(patterned(250_000)))
                #expect(try await small.answer().body == "250000")
                try await server.until("given back") { budget.used == 0 }
                small.stream.abort()
            }
            await server.stop()
        }
    }

    @Test("a connection whose body was refused for want of memory is read on: it was told to try again")
    func retried() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                if let body = try? await exchange.collectBody(limit: 1000) { exchange.respond(200, "\(body.count)") }
            }
            server.server.bodyBudget = ByteBudget(limit: 0)
            let client = try await server.connect()
            client.send(Self.post(patterned(100)))
            #expect(try await client.answer().status == 503)
            server.server.bodyBudget = nil
            client.send(Self.post(patterned(100)))
            #expect(try await client.answer().body == "100")
            await server.stop()
        }
    }
}
