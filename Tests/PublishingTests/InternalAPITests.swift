import ControlKit
import Crypto
import Domain
import HTTPMessages
import Postgres
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

extension World {
    func internalAPI(_ publisher: SnapshotPublisher? = nil) -> InternalAPI {
        InternalAPI(
            tokens: [Secret("first-token-0123456789"), Secret("second-token-0123456789")],
            publisher ?? self.publisher(),
            pool,
            redis,
            RecordSettlement(log: log, metrics: SettlementMetrics(metrics)),
            log: log
        )
    }
}

extension HTTPRequestHead {
    static func get(_ path: String) -> HTTPRequestHead { HTTPRequestHead(method: "GET", target: path) }
    static func post(_ path: String) -> HTTPRequestHead { HTTPRequestHead(method: "POST", target: path) }
}

@Suite("Internal API", .enabled(if: canRun, requirement))
struct InternalAPITests {
    @Test("only a valid bearer token lets in")
    func tokens() async throws {
        try await withWorld { world in
            let api = world.internalAPI()
            let cases: [(String?, Bool)] = [
                ("Bearer first-token-0123456789", true), ("bearer second-token-0123456789", true), (nil, false),
                ("Bearer ", false), ("Bearer first-token-012345678", false), ("Bearer first-token-01234567890", false),
                ("first-token-0123456789", false), ("Basic first-token-0123456789", false),
            ]
            for (value, isAllowed) in cases {
                var head = HTTPRequestHead.get("/internal/v1/keys/1/usage")
                if let value { head.headers.add("authorization", value) }
                #expect(api.isAllowed(head) == isAllowed, "\(value ?? "none")")
            }
            var twice = HTTPRequestHead.get("/")
            twice.headers.add("authorization", "Bearer first-token-0123456789")
            twice.headers.add("authorization", "Bearer first-token-0123456789")
            #expect(!api.isAllowed(twice))
        }
    }

    @Test(
        "what is not there is 404, what is not done is 405",
        arguments: [
            ("GET", "/", 404), ("GET", "/internal/v1", 404), ("GET", "/internal/v1/keys", 404),
            ("GET", "/internal/v1/keys/abc", 404),
            ("GET", "/internal/v1/keys/\(String(repeating: "A", count: 64))", 404),
            ("GET", "/internal/v1/keys/\(String(repeating: "a", count: 64))", 404),
            ("POST", "/internal/v1/keys/\(String(repeating: "a", count: 64))", 405),
            ("GET", "/internal/v1/keys/99/usage", 404), ("GET", "/internal/v1/keys/x/usage", 404),
            ("DELETE", "/internal/v1/keys/99/usage", 405), ("GET", "/internal/v1/records", 405),
            ("GET", "/internal/v2/records", 404), ("GET", "/internal/v1/records/", 404),
        ]
    )
    func refusals(method: String, path: String, status: Int) async throws {
        try await withWorld { world in
            let answer = try await world.internalAPI().answer(HTTPRequestHead(method: method, target: path), body: [])
            #expect(answer.status == status)
        }
    }

    @Test("a key is answered signed, and stands in Redis with its revisions afterwards")
    func key() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let user = try await world.addUser()
            let key = try await world.addKey("secret", of: user, in: group)
            let hash = world.hash("secret")
            let answer = try await world.internalAPI().answer(.get("/internal/v1/keys/\(hash)"), body: [])
            #expect(answer.status == 200)
            let snapshot = try world.codec.decodeKey(answer.body, hash: hash)
            #expect(snapshot.id == key)
            #expect(try await world.publishedKey("secret") == snapshot)
            #expect(try await world.revision("k\(key)", in: Partition(of: user)) == snapshot.revision)
            #expect(try await world.revision("u\(user)", in: Partition(of: user)) == snapshot.userRevision)
            try await world.run("update api_keys set deleted_at = now()")
            let gone = try await world.internalAPI().answer(.get("/internal/v1/keys/\(hash)"), body: [])
            #expect(gone.status == 404)
        }
    }

    @Test("keys are answered, and records taken, while Redis is away")
    func withoutRedis() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            let api = world.internalAPI()
            try await world.server.kill()
            try await world.wait { !world.redis.isConnected }
            let hash = world.hash("key0")
            let answer = try await api.answer(.get("/internal/v1/keys/\(hash)"), body: [])
            #expect(try world.codec.decodeKey(answer.body, hash: hash).isActive)
            let settled = try await api.answer(
                .post("/internal/v1/records"),
                body: Array("[".utf8) + cast.record(1).encoded + Array("]".utf8)
            )
            #expect(String(decoding: settled.body, as: UTF8.self) == #"{"settled":1,"repeated":0,"rejected":0}"#)
        }
    }

    @Test("records that are none are put aside and counted, the others are settled")
    func rejectedRecords() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            let api = world.internalAPI()
            let good = String(decoding: cast.record(1).encoded, as: UTF8.self)
            let body = #"[1,\#(good),{"id":"x"},null]"#
            let answer = try await api.answer(.post("/internal/v1/records"), body: Array(body.utf8))
            #expect(String(decoding: answer.body, as: UTF8.self) == #"{"settled":1,"repeated":0,"rejected":3}"#)
            (try await world.books()).expect(1, cost: 1001, deadLetters: 3)
            for body in ["", "{}", "[", good] {
                let answer = try await api.answer(.post("/internal/v1/records"), body: Array(body.utf8))
                #expect(answer.status == 400)
            }
            let empty = try await api.answer(.post("/internal/v1/records"), body: Array("[]".utf8))
            #expect(empty.status == 200)
        }
    }

    @Test("a key's usage has the shape and the figures of its calls, settled or not")
    func usage() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 2)
            try await world.run("update users set balance = 10000000000")
            try await world.run(
                """
                update api_keys set quota = 2000000000, expires_at = '2030-01-02 03:04:05Z' where id = $1
                """,
                [.integer(cast.keys[0].raw)]
            )
            let api = world.internalAPI()
            let path = "/internal/v1/keys/\(cast.keys[0])/usage"
            let settler = world.settler()
            settler.start()
            try await world.append(cast.record(2, cost: 500_000_000))
            try await world.waitUntilSettled()
            await settler.stop()
            var old = cast.record(4, cost: 1)
            old.createdAt = Timestamp(microseconds: old.createdAt.microseconds - 86_400_000_000)
            // In the stream, not settled; one of them of another key of another user.
            try await world.append([old, cast.record(6, cost: 250_000_000), cast.record(7, cost: 9)])
            let answer = try await api.answer(.get(path), body: [])
            #expect(
                String(decoding: answer.body, as: UTF8.self) == """
                    {"today":{"requests":2,"input_tokens":8,"output_tokens":4,"cache_creation_tokens":14,\
                    "cache_read_tokens":10,"total_tokens":36,"cost":"0.75"},\
                    "total":{"requests":3,"input_tokens":12,"output_tokens":6,"cache_creation_tokens":21,\
                    "cache_read_tokens":15,"total_tokens":54,"cost":"0.750000001"},\
                    "rpm":2,"tpm":36,"quota":{"limit":"2","used":"0.750000001","remaining":"1.249999999"},\
                    "policy":null,"expires_at":"2030-01-02T03:04:05Z","balance":"9.249999999"}
                    """
            )
            // The same after settlement.
            let again = world.settler()
            again.start()
            try await world.waitUntilSettled()
            #expect(try await api.answer(.get(path), body: []).body == answer.body)
            await again.stop()
        }
    }

    @Test("a key that has never been used has zeros, and null for what it has not")
    func unusedKey() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let answer = try await world.internalAPI().answer(.get("/internal/v1/keys/\(cast.keys[0])/usage"), body: [])
            let zero = """
                {"requests":0,"input_tokens":0,"output_tokens":0,"cache_creation_tokens":0,"cache_read_tokens":0,\
                "total_tokens":0,"cost":"0"}
                """
            #expect(
                String(decoding: answer.body, as: UTF8.self) == """
                    {"today":\(zero),"total":\(zero),"rpm":0,"tpm":0,"quota":null,"policy":null,"expires_at":null,\
                    "balance":"0"}
                    """
            )
        }
    }

    @Test("usage is exact at every moment while records are sent, settled, corrected and sent again")
    func usageWhileSettling() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let reader = KeyUsageReader(world.pool, world.redis)
            let settler = world.settler()
            settler.start()
            var sentCost: Int64 = 0
            for number in 0..<400 {
                try await world.append(cast.record(number, phase: .swept, cost: 10))
                sentCost += 10
                if number % 3 == 0 {
                    try await world.append(cast.record(number, phase: .final, cost: 25))
                    sentCost += 15
                }
                if number % 7 == 0 { try await world.append(cast.record(number, phase: .swept, cost: 10)) }
                let usage = try #require(try await reader.read(cast.keys[0]))
                #expect(usage.total.requests == Int64(number + 1))
                #expect(usage.total.cost.raw == sentCost)
                #expect(usage.balance.raw == -sentCost)
                #expect(usage.quotaUsed.raw == sentCost)
            }
            try await world.waitUntilSettled()
            (try await world.books()).expect(400, cost: sentCost)
            await settler.stop()
        }
    }
}
