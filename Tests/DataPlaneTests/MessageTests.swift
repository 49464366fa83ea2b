import CInflate
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

@Suite("Whole answers", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct MessageTests {
    @Test(
        "a call goes through byte for byte and is billed once",
        arguments: [
            Endpoint.WireProtocol.http1, .http2,
        ]
    )
    func passes(wire: Endpoint.WireProtocol) async throws {
        var options = Stand.Options()
        options.wire = wire == .http2 ? .h2 : .http1
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            let response = try await stand.ask(wire: wire)
            #expect(response.head.status == 200)
            #expect(try await response.text() == Says.message())
            #expect(stand.upstream.calls.first?.text == Stand.body())
            #expect(stand.upstream.calls.first?.exchange.request.headers["x-api-key"] == "sk-upstream-1")
            #expect(stand.upstream.calls.first?.exchange.request.headers["accept-encoding"] == "identity")
            let records = try await stand.records(1)
            let record = try #require(records.first)
            #expect(records.count == 1)
            #expect(record.requestID == response.head.headers["x-request-id"])
            #expect(record.usage == TokenUsage(input: 10, output: 7))
            #expect(record.cost == NanoUSD(10 * 3000 + 7 * 15000))
            #expect(record.end == .complete && !record.isEstimated && record.status == 200 && record.priceVersion == 4)
            #expect(record.user == stand.key.user && record.key == stand.key.id && record.group == stand.key.group)
            try await stand.quiesce()
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: AccountID(1))) == 0)
        }
    }

    @Test("a mapped model is spliced into the request and back into the answer, nothing else changes")
    func mapping() async throws {
        var options = Stand.Options()
        options.mapping = ["claude-*": "upstream-\"*\""]
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message(#"upstream-\"a\""#)) }
            let response = try await stand.ask("claude-a")
            #expect(try await response.text() == Says.message("claude-a"))
            let sent = stand.upstream.calls.first?.text
            #expect(sent == Stand.body(#"upstream-\"a\""#))
            let record = try #require(try await stand.records(1).first)
            #expect(record.model == "claude-a" && record.upstreamModel == "upstream-\"a\"")
        }
    }

    @Test("the caller's own fault goes to the caller and is not billed")
    func callerFault() async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            let body = Says.failure("invalid_request_error", "messages: too short")
            stand.upstream.script = { $0.answer(400, body, ["content-type": "application/json", "set-cookie": "a=b"]) }
            let response = try await stand.ask()
            #expect(response.head.status == 400 && response.head.headers["set-cookie"] == nil)
            #expect(try await response.text() == body)
            try await stand.quiesce()
            #expect(stand.upstreams[1].calls.isEmpty)
            #expect(try await stand.records().isEmpty)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
        }
    }

    @Test(
        "an error in no shape of the dialect, a proxy's page, becomes one that names nothing",
        arguments: [400, 413, 422]
    )
    func foreignError(status: Int) async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = {
                $0.answer(
                    status,
                    "<html>secret-host.internal refused</html>",
                    ["content-type": "text/html", "x-up": "1"]
                )
            }
            let response = try await stand.ask()
            #expect(response.head.status == status && response.head.headers["x-up"] == nil)
            let text = try await response.text()
            #expect(!text.contains("secret-host") && text.contains(#""type":"error""#))
        }
    }

    @Test(
        "a failed account is left for the next one, and the call billed once for the one that answered",
        arguments: [
            401, 402, 403, 408, 429, 500, 502, 503, 529, 302,
        ]
    )
    func failover(status: Int) async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            stand.upstreams[0].script = { $0.answer(status, Says.failure("x", "secret-account is out")) }
            stand.upstreams[1].script = { $0.answer(200, Says.message()) }
            #expect(try await stand.ask().text() == Says.message())
            let records = try await stand.records(1)
            #expect(records.count == 1 && records.first?.account == AccountID(2))
            #expect(stand.upstreams[1].calls.first?.exchange.request.headers["x-api-key"] == "sk-upstream-2")
        }
    }

    @Test("a missing model fails over, another 404 is the caller's")
    func missing() async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            stand.upstreams[0].script = { $0.answer(404, Says.failure("not_found_error", "model: x")) }
            stand.upstreams[1].script = { $0.answer(404, Says.failure("other_error", "no")) }
            #expect(try await stand.ask().text() == Says.failure("other_error", "no"))
            #expect(stand.upstreams[1].calls.count == 1)
        }
    }

    @Test("when all fail the most useful failure is told, without a word of whose it was")
    func allFail() async throws {
        var options = Stand.Options()
        options.accounts = 3
        try await standing(options) { (stand) async throws in
            stand.upstreams[0].script = { $0.answer(401, Says.failure("x", "secret")) }
            stand.upstreams[1].script = {
                $0.answer(429, Says.failure("x", "secret"), ["retry-after": "17", "x-ratelimit-reset": "1"])
            }
            stand.upstreams[2].script = { $0.answer(500, "secret") }
            let response = try await stand.ask()
            #expect(response.head.status == 429 && response.head.headers["retry-after"] == "17")
            #expect(response.head.headers["x-tollgate-code"] == "upstream_error")
            #expect(!(try await response.text().contains("secret")))
            try await stand.quiesce()
            #expect(try await stand.records().isEmpty)
        }
    }

    @Test("a wait too long to obey is no Retry-After but told in words, a short one the other way round")
    func longWait() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(429, "", ["retry-after": "6000"]) }
            let long = try await stand.ask()
            #expect(long.head.headers["retry-after"] == nil && long.head.headers["x-should-retry"] == "false")
            #expect(try await long.text().contains("in about 2 hours."))
            try await stand.clearFlags()
            stand.upstream.script = { $0.answer(429, "", ["retry-after": "60"]) }
            let short = try await stand.ask()
            #expect(short.head.headers["retry-after"] == "60" && short.head.headers["x-should-retry"] == nil)
            #expect(try await !short.text().contains("about"))
        }
    }

    @Test(
        "an answer that is packed all the same is unpacked; one that cannot be is a failed attempt",
        arguments: [
            "gzip", "br", "broken",
        ]
    )
    func packed(coding: String) async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            let bytes: [UInt8] =
                coding == "gzip" ? gzip(Array(Says.message().utf8)) : Array("no such thing".utf8)
            stand.upstreams[0].script = { call in
                let coding = coding == "broken" ? "gzip" : coding
                call.exchange.respond(
                    HTTPResponseHead(
                        status: 200,
                        headers: ["content-type": "application/json", "content-encoding": coding]
                    ),
                    body: bytes
                )
            }
            stand.upstreams[1].script = { $0.answer(200, Says.message("other")) }
            let response = try await stand.ask()
            #expect(response.head.headers["content-encoding"] == nil)
            #expect(try await response.text() == Says.message(coding == "gzip" ? "claude-a" : "other"))
        }
    }

    @Test(
        "what is no JSON object, or an error in disguise, or a stream nobody asked for, is a failed attempt",
        arguments: [
            ("application/json", "[1]"), ("application/json", "{"), ("application/json", ""),
            ("application/json", Says.failure()), ("text/event-stream", Says.whole()),
            ("TEXT/Event-Stream", Says.whole()),
        ]
    )
    func unreadable(type: String, body: String) async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, body, ["content-type": type]) }
            let response = try await stand.ask()
            #expect([500, 502, 529].contains(response.head.status))
            try await stand.quiesce()
            #expect(try await stand.records().isEmpty)
        }
    }

    @Test("what another model has done of a call costs what that one does", arguments: [false, true])
    func advised(isStream: Bool) async throws {
        var options = Stand.Options()
        options.prices = [
            ModelPrice(
                model: "claude-opus-5",
                match: .exact,
                revision: 5,
                input: PricePerMillion(5_000_000_000),
                output: PricePerMillion(25_000_000_000),
                request: NanoUSD(1_000_000)
            )
        ]
        try await standing(options) { (stand) async throws in
            let advice = #"{"type":"advisor_message","model":"claude-opus-5","input_tokens":800,"output_tokens":500}"#
            let usage = #"{"input_tokens":9,"output_tokens":8,"iterations":[\#(advice)]}"#
            let end = #"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":\#(usage)}"#
            let events =
                Says.start() + Says.blockStart + Says.delta("hi") + Says.event("message_delta", end) + Says.stop
            stand.upstream.script = {
                if isStream { $0.stream(events) } else { $0.answer(200, #"{"type":"message","usage":\#(usage)}"#) }
            }
            let response = try await stand.ask(stream: isStream)
            #expect(try await response.text().contains("advisor_message"))
            let record = try #require(try await stand.records(1).first)
            #expect(record.usage == TokenUsage(input: 809, output: 508) && !record.isEstimated)
            #expect(record.cost == NanoUSD(9 * 3000 + 8 * 15_000 + 800 * 5000 + 500 * 25_000))
            #expect(record.accountCost == record.cost)
        }
    }

    @Test("an answer without usage is billed by an estimate, and marked")
    func noUsage() async throws {
        try await standing { (stand) async throws in
            let body = #"{"model":"claude-a","content":[{"type":"text","text":"0123456789"}]}"#
            stand.upstream.script = { $0.answer(200, body) }
            #expect(try await stand.ask().text() == body)
            let record = try #require(try await stand.records(1).first)
            #expect(record.isEstimated && record.usage.output == Int64((body.utf8.count + 3) / 4))
            #expect(record.usage.input == Int64(Stand.body().utf8.count / 4 + 1))
        }
    }

    @Test("absurd counts neither stop the worker nor overflow the bill")
    func absurdUsage() async throws {
        try await standing { (stand) async throws in
            let wallet = CounterNames.wallet(of: stand.key.user)
            for number in ["999999999999", "-5", "1e300", "1.5", "\"7\"", "99999999999999999999"] {
                stand.upstream.script = {
                    $0.answer(200, #"{"usage":{"input_tokens":\#(number),"output_tokens":\#(number)}}"#)
                }
                #expect(try await stand.ask().text().contains("usage"))
                // Such a bill empties any wallet.
                try await stand.quiesce()
                try await stand.run("DEL", wallet)
                try await stand.setWallet("1000000000000")
            }
            let records = try await stand.records(6)
            #expect(records.count == 6)
            for record in records { #expect(record.cost >= .zero && record.cost <= NanoUSD.maximum) }
        }
    }

    @Test("a caller that leaves while the upstream thinks ends the upstream's work, unbilled")
    func leaves() async throws {
        try await standing { (stand) async throws in
            let canceller = FetchCanceller()
            let body = Array(Stand.body().utf8)
            let asked = stand.loop.start {
                try await stand.caller.send(stand.request(body: body), canceller: canceller)
            }
            let call = try await stand.upstream.call()
            canceller.cancel()
            _ = try? await asked.wait()
            await stand.loop.wait { call.isGone }
            #expect(call.isGone)
            try await stand.quiesce()
            #expect(try await stand.records().isEmpty)
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: AccountID(1))) == 0)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
        }
    }

    @Test("count_tokens holds no reservation and leaves no record, but a slot of the account while it runs")
    func countTokens() async throws {
        try await standing { (stand) async throws in
            let body = Array(#"{"model":"claude-a","stream":true,"messages":[]}"#.utf8)
            let asked = stand.loop.start {
                try await stand.caller.send(stand.request("POST", "/v1/messages/count_tokens?beta=true", body: body))
            }
            let call = try await stand.upstream.call()
            #expect(call.exchange.request.target == "/v1/messages/count_tokens?beta=true")
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: AccountID(1))) == 1)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
            call.answer(200, #"{"input_tokens":5}"#)
            #expect(try await asked.wait().text() == #"{"input_tokens":5}"#)
            try await stand.quiesce()
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: AccountID(1))) == 0)
            #expect(try await stand.records().isEmpty)
        }
    }

    @Test("a packed request reaches the upstream unpacked, and a bomb goes no further than its bound")
    func packedRequest() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            let body = gzip(Array(Stand.body().utf8))
            let response = try await stand.caller.send(stand.request(body: body, headers: ["content-encoding": "gzip"]))
            #expect(response.head.status == 200)
            #expect(stand.upstream.calls.first?.text == Stand.body())
            #expect(stand.upstream.calls.first?.exchange.request.headers["content-encoding"] == nil)
            stand.changeConfig { _ = $0.settings.set("body_limit_bytes", 4096) }
            try await stand.publish()
            let bomb = gzip([UInt8](repeating: 0x20, count: 1 << 20))
            let refused = try await stand.caller.send(stand.request(body: bomb, headers: ["content-encoding": "gzip"]))
            #expect(refused.head.status == 413)
            let unknown = try await stand.caller.send(stand.request(body: body, headers: ["content-encoding": "rot13"]))
            #expect(unknown.head.status == 415)
        }
    }
}

/// Bytes in the gzip format.
func gzip(_ bytes: [UInt8]) -> [UInt8] {
    var stream = z_stream()
    deflateInit2_(
        &stream,
        Z_DEFAULT_COMPRESSION,
        Z_DEFLATED,
        15 + 16,
        8,
        Z_DEFAULT_STRATEGY,
        ZLIB_VERSION,
        Int32(MemoryLayout<z_stream>.size)
    )
    defer { deflateEnd(&stream) }
    var input = bytes
    var output = [UInt8](repeating: 0, count: bytes.count + 256)
    let count = input.withUnsafeMutableBufferPointer { input in
        output.withUnsafeMutableBufferPointer { output in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            stream.next_out = output.baseAddress
            stream.avail_out = UInt32(output.count)
            deflate(&stream, Z_FINISH)
            return output.count - Int(stream.avail_out)
        }
    }
    return Array(output[..<count])
}
