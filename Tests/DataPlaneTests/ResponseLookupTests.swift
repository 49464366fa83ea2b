import Domain
import Formats
import HTTPFetching
import HTTPMessages
import Redis
import Snapshots
import TestSupport
import Testing

@testable import GatewayKit

@Suite(
    "Answers that are asked for again",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct ResponseLookupTests {
    private static let path = "/v1/responses/resp_1"

    /// A stand where the key has had an answer of the only account.
    private func bound(_ body: @escaping @Sendable (Stand) async throws -> Void) async throws {
        var options = Stand.Options()
        options.platform = .openai
        try await standing(options) { (stand) async throws in
            try await stand.run("SET", RedisNames.response("resp_1"), "1:1:gpt-a")
            try await body(stand)
        }
    }

    private func marks(_ stand: Stand) async throws -> AccountMarks {
        try await stand.quiesce()
        return AccountMarks(try await stand.run("HGETALL", RedisNames.marks(of: AccountID(1))))
    }

    private static let invalid =
        #"{"error":{"message":"Unknown value: 'x'","type":"invalid_request_error","param":"include","code":null}}"#

    @Test(
        "what the upstream refuses keeps its meaning, and says nothing of the account",
        arguments: [
            (answer: 400, wait: nil, status: 400), (422, nil, 422), (404, nil, 404), (429, "7", 429), (503, "3", 503),
            (529, "3", 529), (500, nil, 500), (408, nil, 504),
        ] as [(answer: Int, wait: String?, status: Int)]
    )
    func refused(answer: Int, wait: String?, status: Int) async throws {
        try await bound { stand in
            var headers: HeaderFields = ["content-type": "application/json"]
            if let wait { headers.set("retry-after", wait) }
            stand.upstream.script = { [headers] in $0.answer(answer, Self.invalid, headers) }
            let refusal = try await stand.get(Self.path + "?include=x")
            #expect(refusal.status == status)
            #expect(refusal.headers["retry-after"] == wait)
            let isCallers = answer == 400 || answer == 422
            #expect((refusal.body == Self.invalid) == isCallers, "had \(refusal.body)")
            #expect(try JSON(text: refusal.body)["error"]?["message"]?.string?.isEmpty == false)
            #expect(try await marks(stand) == AccountMarks())
        }
    }

    @Test("a page of some proxy is not for the caller, though the status is")
    func page() async throws {
        try await bound { stand in
            stand.upstream.script = { $0.answer(405, "<html>edge-7.internal</html>", ["content-type": "text/html"]) }
            let refusal = try await stand.get(Self.path)
            #expect(refusal.status == 405 && !refusal.body.contains("edge-7"))
            #expect(try JSON(text: refusal.body)["error"]?["message"]?.string?.isEmpty == false)
        }
    }

    @Test(
        "refused credentials are the account's: it is marked, the caller sees a bad gateway, and the next is told to wait",
        arguments: [401, 402, 403]
    )
    func credentials(status: Int) async throws {
        try await bound { stand in
            stand.upstream.script = { $0.answer(status, #"{"error":{"message":"no","type":"x","code":"y"}}"#) }
            #expect(try await stand.get(Self.path).status == 502)
            #expect(try await marks(stand).flags.map(\.kind) == [status == 403 ? .paused : .error])
            let next = try await stand.get(Self.path)
            #expect(next.status == 503 && next.headers["x-tollgate-code"] == "no_account_available")
            #expect(stand.upstream.calls.count == 1)
        }
    }

    @Test("an account that is out of service is asked neither for an earlier answer nor for the next one")
    func outOfService() async throws {
        let changes: [@Sendable (inout AccountSnapshot) -> Void] = [
            { $0.isSchedulable = false }, { $0.isActive = false }, { $0.expiresAt = Timestamp(microseconds: 1) },
        ]
        try await bound { stand in
            let whole = stand.config.accounts[0]
            for change in changes {
                stand.changeConfig {
                    $0.accounts[0] = whole
                    change(&$0.accounts[0])
                }
                try await stand.publish()
                let again = try await stand.get(Self.path)
                #expect(again.status == 503 && again.headers["x-tollgate-code"] == "no_account_available")
                let next = #"{"model":"gpt-a","input":"more","previous_response_id":"resp_1"}"#
                let refused = try await stand.post("/v1/responses", next)
                #expect(refused.head.status == 503)
                #expect(refused.head.headers["x-tollgate-code"] == "no_account_available")
                _ = try await refused.text()
            }
            stand.changeConfig {
                $0.accounts[0] = whole
                $0.accounts[0].groups = []
            }
            try await stand.publish()
            #expect(try await stand.get(Self.path).status == 404)
            #expect(stand.upstream.calls.isEmpty)
        }
    }
}
