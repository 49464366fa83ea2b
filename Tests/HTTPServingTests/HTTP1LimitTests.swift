import HTTPMessages
import HTTPServing
import Reactor
import TestSupport
import Testing

/// Everything here runs against real time, with limits short enough for a test; what is asserted is the order of
/// events and lower bounds, never that something was quick.
@Suite("HTTP/1 callers that hold the server up", .timeLimit(.minutes(15)))
struct HTTP1LimitTests {
    static let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test("a head that does not come to its end is 408, however busily it trickles")
    func headerTimeout() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop, limits: { $0.headerTimeout = .milliseconds(100) }) {
                $0.respond(200, "ok")
            }
            let client = try await server.connect()
            #expect(try await client.exchange(Self.get).status == 200)
            let start = MonotonicTime.now
            client.send("GET / HTTP/1.1\r\nHost: a\r\n")
            while !client.hasEnded {
                client.send("x: y\r\n")
                await loop.sleep(.milliseconds(5))
                if start.elapsed > .seconds(5) { break }
            }
            #expect(client.hasEnded)
            #expect(start.elapsed >= .milliseconds(100))
            #expect(client.text.hasPrefix("HTTP/1.1 408 "))
            #expect(client.text.contains("connection: close"))
            await server.stop()
        }
    }

    @Test("a connection that is only begun, or idle between requests, ends silently")
    func keepAliveTimeout() async throws {
        try await onLoop { loop in
            let server = try TestServer(
                loop,
                limits: {
                    $0.keepAliveTimeout = .milliseconds(400)
                    $0.headerTimeout = .milliseconds(400)
                }
            ) { exchange in
                // Longer than the timeout, which does not run meanwhile.
                await loop.sleep(.milliseconds(600))
                exchange.respond(200, "ok")
            }
            let silent = try await server.connect()
            let start = MonotonicTime.now
            #expect(try await silent.rest().isEmpty)
            #expect(start.elapsed >= .milliseconds(400))
            let client = try await server.connect()
            #expect(try await client.exchange(Self.get).status == 200)
            #expect(try await client.rest().isEmpty)
            let half = try await server.connect()
            half.send("PR")
            #expect(try await half.rest().isEmpty)
            try await server.until { server.server.openConnections == 0 }
            await server.stop()
        }
    }

    @Test("a body that pauses too long is 408, and the handler is told")
    func bodyIdleTimeout() async throws {
        try await onLoop { loop in
            var errors: [RequestBodyError] = []
            let server = try TestServer(loop, limits: { $0.bodyIdleTimeout = .seconds(5) }) { exchange in
                do {
                    exchange.respond(200, "\(try await exchange.collectBody(limit: 100).count)")
                } catch { if let error = error as? RequestBodyError { errors.append(error) } }
            }
            let client = try await server.connect()
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n")
            // Together longer than the timeout, which each piece starts anew.
            for _ in 0..<6 {
                await loop.sleep(.seconds(1))
                client.send("x")
            }
            #expect(client.text.isEmpty)
            #expect(try await client.rest().hasPrefix("HTTP/1.1 408 "))
            #expect(errors == [.timedOut])
            await server.stop()
        }
    }

    @Test("a body that trickles without end is 408")
    func bodyTimeout() async throws {
        try await onLoop { loop in
            let server = try TestServer(
                loop,
                limits: {
                    $0.bodyIdleTimeout = .milliseconds(200)
                    $0.bodyTimeout = .milliseconds(100)
                }
            ) { exchange in _ = try? await exchange.collectBody(limit: 100_000) }
            let client = try await server.connect()
            let start = MonotonicTime.now
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n")
            while !client.hasEnded, start.elapsed < .seconds(5) {
                client.send("x")
                await loop.sleep(.milliseconds(5))
            }
            #expect(start.elapsed >= .milliseconds(100))
            #expect(client.text.hasPrefix("HTTP/1.1 408 "))
            await server.stop()
        }
    }

    @Test("a caller that takes nothing of its answer is gone; one that takes it slowly is not")
    func writeStall() async throws {
        try await onLoop { loop in
            var gone = 0
            var drained = 0
            let server = try TestServer(loop, limits: { $0.writeStallTimeout = .seconds(1) }) { exchange in
                exchange.onCallerGone = { gone += 1 }
                exchange.onDrain = {
                    drained += 1
                    exchange.finish()
                }
                exchange.startResponse(HTTPResponseHead(status: 200))
                exchange.write([UInt8](repeating: 7, count: 24_000_000))
                exchange.notifyWhenDrained()
            }
            let stalled = try await server.connect()
            stalled.stream.setReading(false)
            stalled.send(Self.get)
            try await server.until { gone == 1 }
            #expect(server.server.openExchanges == 0)
            #expect(drained == 0)

            let slow = try await server.connect()
            slow.send(Self.get)
            let start = MonotonicTime.now
            while start.elapsed < .milliseconds(2500) {
                slow.stream.setReading(true)
                await loop.sleep(.zero)
                slow.stream.setReading(false)
                await loop.sleep(.milliseconds(20))
            }
            slow.stream.setReading(true)
            try await slow.wait { $0.received.suffix(5).elementsEqual("0\r\n\r\n".utf8) }
            #expect(gone == 1)
            #expect(drained == 1)
            await server.stop()
        }
    }

    @Test("a caller that leaves while its answer is under way is reported once", arguments: [true, false])
    func callerGone(inOrder: Bool) async throws {
        try await onLoop { loop in
            var gone = 0
            var kept: ServerExchange?
            let server = try TestServer(loop) { exchange in
                kept = exchange
                exchange.onCallerGone = { gone += 1 }
                exchange.startResponse(HTTPResponseHead(status: 200))
                exchange.write("begun")
            }
            let client = try await server.connect()
            client.send(Self.get)
            try await client.wait(for: "begun")
            #expect(kept?.isCallerGone == false)
            if inOrder { client.stream.close() } else { client.stream.abort() }
            try await server.until { kept?.isCallerGone == true }
            kept?.write("more")
            kept?.finish()
            kept?.cut()
            await loop.sleep(.milliseconds(5))
            #expect(gone == 1)
            #expect(kept?.isCallerGone == true)
            #expect(kept?.pendingBytes == 0)
            #expect(server.server.openExchanges == 0)
            #expect(server.server.openConnections == 0)
            await server.stop()
        }
    }

    @Test("a caller that leaves while its body is awaited ends the wait")
    func callerGoneInBody() async throws {
        try await onLoop { loop in
            var errors: [RequestBodyError] = []
            let server = try TestServer(loop) { exchange in
                do { _ = try await exchange.collectBody(limit: 100) } catch {
                    if let error = error as? RequestBodyError { errors.append(error) }
                }
                exchange.respond(200, "nobody hears this")
            }
            let client = try await server.connect()
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
            try await server.until { server.server.openExchanges == 1 }
            client.stream.close()
            try await server.until { !errors.isEmpty }
            #expect(errors == [.callerGone])
            #expect(server.server.openExchanges == 0)
            await server.stop()
        }
    }

    @Test("a caller that has left is noticed although it had sent further requests")
    func callerGoneBehindBacklog() async throws {
        try await onLoop { loop in
            var gone = 0
            let server = try TestServer(loop) { exchange in
                exchange.onCallerGone = { gone += 1 }
                exchange.startResponse(HTTPResponseHead(status: 200))
            }
            let client = try await server.connect()
            client.send(Self.get + Self.get + Self.get)
            try await client.wait(for: "\r\n\r\n")
            client.stream.close()
            try await server.until { gone == 1 }
            #expect(server.server.openConnections == 0)
            await server.stop()
        }
    }

    @Test("what a caller sends ahead is held only up to a bound")
    func backlogIsBounded() async throws {
        try await onLoop { loop in
            var started = 0
            let go = Promise<Void>()
            let server = try TestServer(loop) { exchange in
                started += 1
                guard started == 1 else { return exchange.respond(200, "next") }
                try? await go.wait()
                exchange.respond(200, "first")
            }
            let client = try await server.connect()
            let filler =
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + String(repeating: "y", count: 60_000)
            client.send(Self.get)
            let count = 500
            let block = String(repeating: filler, count: 100)
            for _ in 0..<(count / 100) { client.send(block) }
            try await server.until { started == 1 }
            // The rest stays in the kernel, and then with the caller.
            var last = -1
            while client.stream.bufferedBytes != last {
                last = client.stream.bufferedBytes
                await loop.sleep(.milliseconds(50))
            }
            #expect(last > 0)
            #expect(started == 1)
            go.succeed(())
            try await client.wait { $0.received.count > 10_000 }
            #expect(client.text.contains("first"))
            var answers = 0
            try await client.wait { client in
                answers += client.takeAnswers()
                return answers == count + 1
            }
            await server.stop()
        }
    }

    @Test("a caller that asks and asks and never reads is not answered without end")
    func unreadAnswersAreBounded() async throws {
        try await onLoop { loop in
            var started = 0
            let body = [UInt8](repeating: 1, count: 100_000)
            let server = try TestServer(loop) { exchange in
                started += 1
                exchange.respond(HTTPResponseHead(status: 200), body: body)
            }
            let client = try await server.connect()
            client.stream.setReading(false)
            client.send(String(repeating: Self.get, count: 2000))
            var last = -1
            while started != last {
                last = started
                await loop.sleep(.milliseconds(50))
            }
            // 200 MB were asked for. Kernel buffers of loopback sockets hold some of it, we hardly any.
            #expect(started < 300)
            client.stream.setReading(true)
            var bytes = 0
            try await client.wait { client in
                bytes += client.received.count
                client.forget()
                return bytes > 2000 * 100_000
            }
            #expect(started == 2000)
            await server.stop()
        }
    }

    @Test("a handler that minds pendingBytes keeps memory bounded, and others are served meanwhile")
    func backPressure() async throws {
        try await onLoop { loop in
            let answer = LargeAnswer(bytes: 40_000_000)
            let server = try TestServer(loop) { exchange in
                guard exchange.request.target == "/big" else { return exchange.respond(200, "small") }
                answer.give(to: exchange)
            }
            let slow = try await server.connect()
            slow.stream.setReading(false)
            slow.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
            let other = try await server.connect()
            for _ in 0..<20 { #expect(try await other.exchange(Self.get).body == "small") }
            #expect(answer.written < answer.total)
            slow.stream.setReading(true)
            var bytes = 0
            try await slow.wait { client in
                bytes += client.received.count
                let isOver = client.received.suffix(5).elementsEqual("0\r\n\r\n".utf8)
                if !isOver { client.forget() }
                return isOver
            }
            #expect(bytes > answer.total)
            #expect(answer.mostPending < 65_536 + 3 * 16_384)
            await server.stop()
        }
    }

    @Test("a body nobody asks for is held only up to a bound, and arrives whole when it is asked for")
    func unwantedBody() async throws {
        try await onLoop { loop in
            var kept: ServerExchange?
            let go = Promise<Void>()
            let server = try TestServer(loop) { exchange in
                kept = exchange
                try? await go.wait()
                let body = try? await exchange.collectBody(limit: 100_000_000)
                exchange.respond(200, "\(body?.count ?? -1)")
            }
            let client = try await server.connect()
            let count = 20_000_000
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(count)\r\n\r\n")
            client.send([UInt8](repeating: 3, count: count))
            var last = -1
            while client.stream.bufferedBytes != last {
                last = client.stream.bufferedBytes
                await loop.sleep(.milliseconds(50))
            }
            #expect(last > 0)
            #expect(kept != nil)
            go.succeed(())
            #expect(try await client.answer().body == "\(count)")
            await server.stop()
        }
    }
}

extension RawClient {
    /// Takes whole answers from what was received; returns how many.
    func takeAnswers() -> Int {
        // Answers of these tests are short: looking for their first line is enough, and quick.
        let marker = [UInt8]("HTTP/1.1 200".utf8)
        var count = 0
        var index = 0
        var lastStart = 0
        received.withUnsafeBytes { bytes in
            while index + marker.count <= bytes.count {
                if bytes[index] == 0x48,
                    UnsafeRawBufferPointer(rebasing: bytes[index..<(index + marker.count)]).elementsEqual(marker)
                {
                    count += 1
                    lastStart = index + marker.count
                    index = lastStart
                } else {
                    index += 1
                }
            }
        }
        discard(lastStart)
        return count
    }
}
