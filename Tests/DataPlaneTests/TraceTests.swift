import Domain
import Formats
import HTTPFetching
import HTTPMessages
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@testable import GatewayKit

@Suite(
    "Traces of calls",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct TraceTests {
    /// The only trace that is kept.
    private func trace(_ stand: Stand) async throws -> JSON {
        try await stand.quiesce()
        let kept = try await stand.run("HVALS", RedisNames.traces(0)).array ?? []
        try #require(kept.count == 1)
        return try JSON(text: kept[0].text ?? "")
    }

    private func options(_ accounts: Int) -> Stand.Options {
        var options = Stand.Options()
        options.accounts = accounts
        return options
    }

    @Test("a call that went well says where it went, and what it cost", arguments: [false, true])
    func plain(isStream: Bool) async throws {
        try await standing(options(2)) { (stand) async throws in
            stand.upstream.script = { isStream ? $0.stream(Says.whole()) : $0.answer(200, Says.message()) }
            let response = try await stand.post("/v1/messages", Stand.body("claude-a", stream: isStream))
            _ = try await response.text()
            let trace = try await trace(stand)
            #expect(trace["request_id"]?.string == response.head.headers["x-request-id"])
            #expect(trace["model"] == "claude-a" && trace["stream"] == .bool(isStream))
            #expect(trace["candidates"]?.array?.map { $0["account_id"] } == [1, 2])
            #expect(trace["candidates"]?.array?.allSatisfy { $0["skipped"] == nil } == true)
            #expect(trace["attempts"]?.array?.count == 1)
            #expect(trace["attempts"]?[0]?["account_id"] == 1 && trace["attempts"]?[0]?["verdict"] == "answered")
            #expect(trace["refusals"]?.array?.isEmpty == true)
            #expect(trace["outcome"]?["status"] == 200 && trace["outcome"]?["end"] == "complete")
            let record = try #require(try await stand.records().first)
            #expect(trace["money"]?["cost"]?.string == record.cost.description)
            for time in ["admitted_ms", "upstream_ms", "first_content_ms", "total_ms"] {
                #expect(trace["timings"]?[time]?.int64 ?? -1 >= 0)
            }
            let text = String(decoding: trace.encoded, as: UTF8.self)
            #expect(!text.contains("Hello") && !text.contains("secret"))
        }
    }

    @Test("each failed attempt says why, and what it did to the account; the next call says whom it passed over")
    func failover() async throws {
        try await standing(options(3)) { (stand) async throws in
            stand.upstreams[0].script = { $0.answer(529, Says.failure("overloaded_error", "no")) }
            stand.upstreams[1].script = { $0.answer(500, Says.failure("api_error", "no")) }
            stand.upstreams[2].script = { $0.answer(200, Says.message()) }
            #expect(try await stand.ask().head.status == 200)
            let first = try await trace(stand)
            let attempts = try #require(first["attempts"]?.array)
            #expect(attempts.map { $0["account_id"] } == [1, 2, 3])
            #expect(attempts.map { $0["verdict"] } == ["overloaded", "upstream_error", "answered"])
            #expect(attempts[0]["effects"]?[0]?["kind"] == "overloaded")
            #expect(attempts[0]["effects"]?[0]?["until"]?.string?.hasSuffix("Z") == true)
            #expect(attempts[1]["effects"]?.array?.isEmpty == true && attempts[1]["status"] != nil)

            try await stand.run("DEL", RedisNames.traces(0))
            #expect(try await stand.ask().head.status == 200)
            let second = try await trace(stand)
            #expect(second["candidates"]?[0]?["skipped"] == "overloaded" && second["candidates"]?[0]?["until"] != nil)
            #expect(second["candidates"]?[1]?["skipped"] == nil)
            #expect(second["attempts"]?.array?.map { $0["account_id"] } == [2, 3])
        }
    }

    @Test("a call that nobody could serve, and one that is the caller's own fault, say what became of them")
    func refused() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(400, Says.failure("invalid_request_error", "no")) }
            #expect(try await stand.ask().head.status == 400)
            let fault = try await trace(stand)
            #expect(fault["attempts"]?[0]?["verdict"] == "caller_fault" && fault["outcome"]?["status"] == 400)
            #expect(fault["money"] == .null)

            try await stand.run("DEL", RedisNames.traces(0))
            stand.config.accounts[0].isSchedulable = false
            try await stand.publish()
            #expect(try await stand.ask().head.status == 503)
            let refusal = try await trace(stand)
            #expect(refusal["candidates"]?[0]?["skipped"] == "unschedulable")
            #expect(refusal["attempts"]?.array?.isEmpty == true)
            #expect(refusal["outcome"]?["status"] == 503 && refusal["outcome"]?["error"] == "no_account_available")
        }
    }

    @Test("what traces take of Redis stays within the bound: the oldest go, and with no bound there are none")
    func bounded() async throws {
        try await standing { (stand) async throws in
            let store = TraceStore(stand.context.redis)
            store.memory = 32 * 64 * 1024
            let trace = [UInt8](repeating: 0x20, count: 4096)
            for number in 0..<4000 {
                store.keep("r\(number)", trace)
                // Answers must come now and then, as they do between calls.
                if number % 16 == 0 { try await stand.quiesce() }
            }
            try await stand.quiesce()
            let names = try await stand.run("KEYS", RedisNames.tracesPrefix + "*").array?.compactMap(\.text) ?? []
            let hashes = names.filter { $0 != RedisNames.traceGeneration }
            #expect((2...RedisNames.traceGenerations).contains(hashes.count))
            var total: Int64 = 0
            for name in hashes {
                total += try await stand.run("MEMORY", "USAGE", name).integer ?? 0
                #expect(try await stand.run("TTL", name).integer ?? 0 > 86_000)
            }
            // A hash goes a little beyond its part before that is seen.
            #expect(total < 2 * 32 * 64 * 1024 * 2)
            var found: Int64 = 0
            for name in hashes { found += try await stand.run("HEXISTS", name, "r3999").integer ?? 0 }
            #expect(found == 1)
            #expect(!hashes.contains(RedisNames.traces(0)))

            store.memory = 0
            #expect(!store.isOn)
        }
    }

    /// Keeps a trace; returns the seconds that the hash has which it then stands in.
    private func life(_ stand: Stand, _ store: TraceStore, after id: String, in name: String, at time: MonotonicTime)
        async throws -> Int64
    {
        store.keep(id, [0x20], at: time)
        try await stand.until(within: .seconds(10)) { try await stand.run("HEXISTS", name, id).integer == 1 }
        try await stand.quiesce()
        return try await stand.count("TTL", name)
    }

    @Test("however few calls there are, what their traces stand in lives for a day after each of them")
    func quiet() async throws {
        try await standing { (stand) async throws in
            let store = TraceStore(stand.context.redis)
            store.memory = 1 << 30
            let start = MonotonicTime.now
            let name = RedisNames.traces(0)
            func life(after id: String, at time: Duration) async throws -> Int64 {
                try await self.life(stand, store, after: id, in: name, at: start + time)
            }
            #expect(try await life(after: "r0", at: .zero) > 86_900)
            // As if nobody had called for most of a day.
            try await stand.run("EXPIRE", name, "100")
            #expect(try await life(after: "r1", at: .seconds(599)) <= 100)
            #expect(try await life(after: "r2", at: .seconds(600)) > 86_900)
            try await stand.run("EXPIRE", name, "100")
            #expect(try await life(after: "r3", at: .seconds(1199)) <= 100)
            // Gone, and come again; the second time in another Redis.
            try await stand.run("DEL", name)
            #expect(try await life(after: "r4", at: .seconds(86_400)) > 86_900)
            try await stand.run("DEL", name)
            store.forget()
            #expect(try await life(after: "r5", at: .seconds(86_401)) > 86_900)
        }
    }

    @Test("a hash that a worker writes to when others have long gone on is not kept for ever")
    func late() async throws {
        try await standing { (stand) async throws in
            let store = TraceStore(stand.context.redis)
            store.memory = 1 << 30
            let start = MonotonicTime.now
            let (old, new) = (RedisNames.traces(0), RedisNames.traces(40))
            _ = try await life(stand, store, after: "r0", in: old, at: start)
            try await stand.run("SET", RedisNames.traceGeneration, "40")
            try await stand.run("DEL", old)
            #expect(try await life(stand, store, after: "r1", in: old, at: start + .seconds(600)) > 86_900)
            #expect(try await life(stand, store, after: "r2", in: new, at: start + .seconds(601)) > 86_900)
        }
    }
}
