import Domain
import Formats
import GatewayKit
import HTTPFetching
import HTTPMessages
import Redis
import Snapshots
import TestSupport
import Testing

@Suite(
    "What callers have upstreams say",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct QuotedWordsTests {
    private struct Way: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let platform: Platform
        let path: String
        let words: String
        /// Where the words stand in the request.
        var member: String?
        var header: (name: String, value: String)?

        var body: String {
            let member = member.map { #","\#($0)":1"# } ?? ""
            return platform == .gemini
                ? #"{"contents":[{"parts":[{"text":"hi"}]}]\#(member)}"#
                : #"{"model":"claude-a","max_tokens":9,"messages":[{"role":"user","content":"hi"}]\#(member)}"#
        }
        var headers: HeaderFields { header.map { [$0.name: $0.value] } ?? [:] }
    }

    private static let gemini = "/v1beta/models/gemini-a:generateContent"
    private static let ways = [
        Way(
            testDescription: "a member's name",
            platform: .anthropic,
            path: "/v1/messages",
            words: "organization has been disabled",
            member: "Organization has been DISABLED"
        ),
        Way(
            testDescription: "a member's name, escaped",
            platform: .anthropic,
            path: "/v1/messages",
            words: "credit balance",
            member: #"\u0063redit balance"#
        ),
        Way(
            testDescription: "a member's name, with a date",
            platform: .anthropic,
            path: "/v1/messages",
            words: "You have reached your specified. You will regain access on 2026-01-01 at 00:00",
            member: "You have reached your specified. You will regain access on 2026-01-01 at 00:00"
        ),
        Way(
            testDescription: "a header's value",
            platform: .anthropic,
            path: "/v1/messages",
            words: "organization has been disabled",
            header: ("anthropic-beta", "organization has been disabled")
        ),
        Way(
            testDescription: "a query's value",
            platform: .anthropic,
            path: "/v1/messages?beta=credit%20balance",
            words: "credit balance"
        ),
        Way(
            testDescription: "a name in Google's words for a missing project",
            platform: .gemini,
            path: gemini,
            words: "invalid project resource name",
            member: "invalid project resource name"
        ),
        Way(
            testDescription: "a name in Google's words for a key",
            platform: .gemini,
            path: gemini,
            words: "API key not valid",
            member: #"API \u212aey not valid"#
        ),
    ]

    @Test("words about an account that the caller itself has said take no account out", arguments: 0..<7)
    func quoted(number: Int) async throws {
        let way = Self.ways[number]
        var options = Stand.Options()
        options.accounts = 2
        options.platform = way.platform
        try await standing(options) { (stand) async throws in
            for upstream in stand.upstreams {
                upstream.script = { call in
                    // As Anthropic has it: `foo: Extra inputs are not permitted`.
                    call.answer(
                        400,
                        Says.failure("invalid_request_error", "\(way.words): Extra inputs are not permitted")
                    )
                }
            }
            let status = try await stand.post(way.path, way.body, headers: way.headers).head.status
            #expect(status == 502)
            try await stand.quiesce()
            for account in stand.config.accounts {
                let marks = AccountMarks(try await stand.run("HGETALL", RedisNames.marks(of: account.id)))
                #expect(marks.flags.isEmpty)
            }
            #expect(stand.upstreams.map(\.calls.count) == [1, 1])
        }
    }

    @Test("an account whose upstream says so of itself is left for another, also when the caller speaks of the same")
    func served() async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            stand.upstreams[0].script = { call in
                call.answer(400, Says.failure("invalid_request_error", "Your credit balance is too low"))
            }
            stand.upstreams[1].script = { $0.answer(200, Says.message()) }
            let body =
                #"{"model":"claude-a","max_tokens":9,"messages":[{"role":"user","content":"My credit balance?"}]}"#
            #expect(try await stand.post("/v1/messages", body).head.status == 200)
            #expect(try await stand.ask().head.status == 200)
            try await stand.quiesce()
            let marks = AccountMarks(try await stand.run("HGETALL", RedisNames.marks(of: AccountID(1))))
            #expect(marks.flags.map(\.kind) == [.error])
        }
    }
}
