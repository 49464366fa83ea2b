import Domain
import Formats
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@testable import GatewayKit

@Suite("Streams", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct StreamTests {
    private static let wires: [Endpoint.WireProtocol] = [.http1, .http2]

    @Test("a stream passes byte for byte and is billed by its last word", arguments: wires)
    func passes(wire: Endpoint.WireProtocol) async throws {
        var options = Stand.Options()
        options.wire = wire == .http2 ? .h2 : .http1
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { $0.stream(Says.whole()) }
            let response = try await stand.ask(stream: true, wire: wire)
            #expect(response.head.headers["content-type"] == "text/event-stream")
            #expect(try await response.text() == Says.whole())
            let records = try await stand.records(1)
            let record = try #require(records.first)
            #expect(records.count == 1 && record.isStream && record.end == .complete && !record.isEstimated)
            #expect(record.usage == TokenUsage(input: 10, output: 7) && record.firstTokenMilliseconds != nil)
        }
    }

    @Test("a stream cut at any byte passes as it came")
    func everySplit() async throws {
        try await standing { (stand) async throws in
            let bytes = Array(
                (Says.start() + ": note\n\n" + Says.blockStart + Says.delta("é") + Says.messageDelta() + Says.stop).utf8
            )
            var split = 0
            stand.upstream.script = { call in
                call.startStream()
                call.send(Array(bytes[..<split]))
                // A turn of the loop: the pieces leave apart.
                await stand.loop.sleep(.milliseconds(1))
                call.send(Array(bytes[split...]))
                call.finish()
            }
            for at in stride(from: 1, to: bytes.count, by: 7) {
                split = at
                let text = try await stand.ask(stream: true).text()
                #expect(Array(text.utf8) == bytes, "split at \(at)")
            }
            let records = try await stand.records((bytes.count + 5) / 7)
            #expect(records.allSatisfy { $0.usage == TokenUsage(input: 10, output: 7) && $0.end == .complete })
        }
    }

    @Test("a stream that comes byte by byte passes as it came")
    func byteByByte() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { call in
                call.startStream()
                for byte in Says.whole().utf8 {
                    call.send([byte])
                    await stand.loop.sleep(.zero)
                }
                call.finish()
            }
            #expect(try await stand.ask(stream: true).text() == Says.whole())
        }
    }

    @Test("nothing is let out before the first content, and then each event as it comes")
    func held() async throws {
        try await standing { (stand) async throws in
            let asked = stand.loop.start { try await stand.ask(stream: true) }
            let call = try await stand.upstream.call()
            call.startStream()
            call.send(Says.start())
            call.send(Says.ping)
            await stand.loop.wait { stand.context.silence.count == 1 }
            await stand.loop.sleep(.milliseconds(20))
            #expect(!asked.isFulfilled)
            call.send(Says.blockStart)
            let reading = Reading(try await asked.wait(), stand.loop)
            try await reading.wait(for: Says.start() + Says.ping + Says.blockStart)
            call.send(Says.delta("one"))
            try await reading.wait(for: "one")
            call.send(Says.delta("two"))
            try await reading.wait(for: "two")
            call.send(Says.messageDelta() + Says.stop)
            call.finish()
            _ = try await reading.rest()
        }
    }

    @Test(
        "an empty stream fails over, however it is empty",
        arguments: [
            "", Says.start(), Says.start() + Says.ping, Says.error, Says.start() + Says.error, ": comment\n\n",
            Says.start() + Says.messageDelta() + Says.stop, "garbage", "data: {}\n\n",
            "event: message_start\ndata: {\n\n",
        ]
    )
    func empty(text: String) async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            stand.upstreams[0].script = { $0.stream(text) }
            stand.upstreams[1].script = { $0.stream(Says.whole()) }
            #expect(try await stand.ask(stream: true).text() == Says.whole())
            let records = try await stand.records(1)
            #expect(records.count == 1 && records.first?.account == AccountID(2))
        }
    }

    @Test("a caller that does not read stops its upstream, and memory stays bounded", arguments: wires)
    func slowReader(wire: Endpoint.WireProtocol) async throws {
        var options = Stand.Options()
        options.wire = wire == .http2 ? .h2 : .http1
        try await standing(options) { (stand) async throws in
            let event = Says.delta(String(repeating: "z", count: 8000))
            let asked = stand.loop.start { try await stand.ask(stream: true, wire: wire) }
            let call = try await stand.upstream.call()
            call.startStream()
            call.send(Says.start() + Says.blockStart)
            let response = try await asked.wait()
            // Nobody reads: the windows, the sockets and the worker's bound fill, and then nothing moves.
            var sent = 0
            var still = 0
            while still < 100, sent < 256 << 20 {
                if call.exchange.pendingBytes < 1 << 16 {
                    call.send(event)
                    sent += event.utf8.count
                    still = 0
                } else {
                    still += 1
                }
                await stand.loop.sleep(.milliseconds(1))
            }
            #expect(sent < 64 << 20, "\(sent) bytes left an upstream whose caller reads nothing")
            // Another stream of the same worker is not held up.
            stand.upstream.script = { $0.stream(Says.whole()) }
            #expect(try await stand.ask(stream: true, wire: wire).text() == Says.whole())
            let reading = Reading(response, stand.loop)
            call.send(Says.messageDelta() + Says.stop)
            call.finish()
            let text = try await reading.rest()
            #expect(text.hasSuffix(Says.stop) && text.utf8.count > sent)
            #expect(try await stand.records(2).allSatisfy { $0.end == .complete })
        }
    }

    @Test("a silent upstream is bridged by pings; failover goes on after them, a refusal becomes an error event")
    func keepAlive() async throws {
        var options = Stand.Options()
        options.accounts = 2
        options.pace.firstSilence = .milliseconds(20)
        options.pace.furtherSilence = .milliseconds(30)
        options.pace.silenceWatch = .milliseconds(5)
        try await standing(options) { (stand) async throws in
            let reading = Reading(try await stand.ask(stream: true), stand.loop)
            await stand.loop.wait { reading.text.count(of: "event: ping") >= 2 }
            #expect(reading.text.count(of: "event: ping") >= 2)
            let first = try await stand.upstreams[0].call()
            first.answer(500, Says.failure())
            let second = try await stand.upstreams[1].call()
            let before = reading.text.count(of: "event: ping")
            await stand.loop.wait { reading.text.count(of: "event: ping") > before }
            second.startStream()
            second.send(Says.start())
            let held = reading.text.count(of: "event: ping")
            await stand.loop.wait { reading.text.count(of: "event: ping") > held }
            #expect(!reading.text.contains("message_start"))
            second.send(Says.blockStart)
            try await reading.wait(for: "content_block_start")
            let between = reading.text.count(of: "event: ping")
            await stand.loop.wait { reading.text.count(of: "event: ping") > between }
            second.send(Says.delta("x") + Says.messageDelta() + Says.stop)
            second.finish()
            let text = try await reading.rest()
            #expect(text.contains(Says.start() + Says.blockStart) && text.hasSuffix(Says.stop))
            #expect(try await stand.records(1).count == 1)

            stand.upstreams[0].script = { call in
                await stand.loop.sleep(.milliseconds(60))
                call.answer(400, Says.failure("invalid_request_error", "too long"))
            }
            let refused = try await stand.ask(stream: true)
            #expect(refused.head.status == 200)
            let end = try await refused.text()
            #expect(end.hasPrefix("event: ping") && end.contains("event: error\n") && end.contains("too long"))

            // A whole message now would reach nobody.
            for upstream in stand.upstreams {
                upstream.script = { call in
                    await stand.loop.sleep(.milliseconds(60))
                    call.answer(200, Says.message())
                }
            }
            let late = try await stand.ask(stream: true).text()
            #expect(late.contains("event: error\n"))
            try await stand.quiesce()
            #expect(try await stand.records().count == 1)
        }
    }

    @Test(
        "a whole message, a packed stream or an empty one is no answer to a stream",
        arguments: ["json", "gzip", "204"]
    )
    func wrongForm(form: String) async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            stand.upstreams[0].script = { call in
                switch form {
                case "json": call.answer(200, Says.message())
                case "gzip":
                    call.exchange.respond(
                        HTTPResponseHead(
                            status: 200,
                            headers: ["content-type": "text/event-stream", "content-encoding": "gzip"]
                        ),
                        body: gzip(Array(Says.whole().utf8))
                    )
                default: call.exchange.respond(HTTPResponseHead(status: 204), body: [])
                }
            }
            stand.upstreams[1].script = { $0.stream(Says.whole()) }
            #expect(try await stand.ask(stream: true).text() == Says.whole())
            #expect(try await stand.records(1).first?.account == AccountID(2))
        }
    }

    @Test("a mapped model has the caller's name in the stream, with or without names of events")
    func mapping() async throws {
        var options = Stand.Options()
        options.mapping = ["claude-a": "up-1"]
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { $0.stream(Says.whole("up-1")) }
            let text = try await stand.ask(stream: true).text()
            #expect(text == Says.whole("claude-a"))
            #expect(stand.upstream.calls.first?.text == Stand.body("up-1", stream: true))
            stand.upstream.script = { call in
                let lines = Says.whole("up-1").split(separator: "\n", omittingEmptySubsequences: false)
                call.stream(lines.filter { !$0.hasPrefix("event:") }.joined(separator: "\n"))
            }
            let unnamed = try await stand.ask(stream: true).text()
            #expect(unnamed.contains("claude-a") && !unnamed.contains("up-1"))
            #expect(try await stand.records(2).allSatisfy { $0.end == .complete && $0.upstreamModel == "up-1" })
        }
    }
}

/// A stream that the test is about to begin.
struct StartedStream {
    let opening: (UpstreamCall) -> Void

    func wait(_ stand: Stand, _ wire: Endpoint.WireProtocol) async throws -> FetchResponse {
        let number = stand.upstream.calls.count
        let asked = stand.loop.start { try await stand.ask(stream: true, wire: wire) }
        let call = try await stand.upstream.call(number)
        call.startStream()
        opening(call)
        return try await asked.wait()
    }
}

extension Stand {
    func start(_ opening: @escaping (UpstreamCall) -> Void) -> StartedStream { StartedStream(opening: opening) }
}
