import Domain
import Formats
import HTTPFetching
import HTTPMessages
import Snapshots
import TestSupport
import Testing

@testable import GatewayKit

@Suite(
    "A group for Claude Code only, with a group to fall back to",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct FallbackGroupTests {
    private static let claudeCode: HeaderFields = ["user-agent": "Claude-CLI/2.1.0 (external)"]
    private static let other: HeaderFields = ["user-agent": "curl/8"]

    /// Group 2 has the first account and is for Claude Code alone; group 9 has the second one.
    private func each(hasFallback: Bool, _ body: @escaping @Sendable (Stand) async throws -> Void) async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            stand.changeConfig { config in
                config.groups[0].isClaudeCodeOnly = true
                config.groups[0].multiplier = Multiplier(20_000)
                if hasFallback { config.groups[0].fallbackGroup = GroupID(9) }
                var fallback = GroupSnapshot(id: GroupID(9), revision: 5, name: "f", platform: .anthropic)
                fallback.modelAllowlist = ["claude-a", "claude-b"]
                config.groups.append(fallback)
                config.accounts[0].modelMapping = ["claude-a": "claude-a", "claude-c": "claude-c"]
                config.accounts[1].groups = [GroupID(9)]
                config.accounts[1].modelMapping = ["claude-a": "claude-a", "claude-b": "claude-b"]
            }
            try await stand.publish()
            try await stand.run("HSET", RedisNames.revisions(stand.partition), "g9", "5")
            for upstream in stand.upstreams { upstream.script = { $0.answer(200, Says.message()) } }
            try await body(stand)
        }
    }

    @Test("other programs are scheduled in the fallback group and billed by it")
    func falls() async throws {
        try await each(hasFallback: true) { (stand) async throws in
            #expect(try await stand.ask(headers: Self.claudeCode).head.status == 200)
            #expect(stand.upstreams.map(\.calls.count) == [1, 0])
            #expect(try await stand.ask(headers: Self.other).head.status == 200)
            #expect(stand.upstreams.map(\.calls.count) == [1, 1])
            let records = try await stand.records(2)
            #expect(records.map(\.group) == [GroupID(2), GroupID(9)])
            #expect(records.map(\.account) == [AccountID(1), AccountID(2)])
            #expect(records.map(\.multiplier) == [Multiplier(20_000), .one])
            #expect(records.map(\.key) == [stand.key.id, stand.key.id])
            #expect(records[0].cost == records[1].cost + records[1].cost)
        }
    }

    @Test("the fallback group's own rules count: its models, whether it is active, its revision")
    func rules() async throws {
        try await each(hasFallback: true) { (stand) async throws in
            #expect(try await stand.ask("claude-c", headers: Self.claudeCode).head.status == 200)
            #expect(try await stand.ask("claude-c", headers: Self.other).head.status == 403)
            #expect(try await stand.ask("claude-b", headers: Self.other).head.status == 200)
            #expect(try await stand.ask("claude-b", headers: Self.claudeCode).head.status == 503)
            try await stand.run("HSET", RedisNames.revisions(stand.partition), "g9", "6")
            stand.changeConfig { $0.groups[1].revision = 6 }
            stand.changeConfig { $0.groups[1].isActive = false }
            stand.context.config = GatewayConfig(stand.config)
            let refused = try await stand.ask(headers: Self.other)
            #expect(refused.head.status == 403 && refused.head.headers["x-tollgate-code"] == "group_inactive")
            #expect(try await stand.ask(headers: Self.claudeCode).head.status == 200)
        }
    }

    @Test("model lists are those of the group that answers")
    func models() async throws {
        try await each(hasFallback: true) { (stand) async throws in
            func models(_ headers: HeaderFields) async throws -> [String] {
                let answer = try await stand.get("/v1/models", headers: headers)
                return try JSON(text: answer.body)["data"]?.array?.compactMap { $0["id"]?.string } ?? []
            }
            #expect(try await models(Self.claudeCode) == ["claude-a", "claude-c"])
            #expect(try await models(Self.other) == ["claude-a", "claude-b"])
        }
    }

    @Test("without a fallback other programs are refused, on every path, in the caller's dialect")
    func refused() async throws {
        try await each(hasFallback: false) { (stand) async throws in
            let refused = try await stand.ask(headers: Self.other)
            #expect(refused.head.status == 403 && refused.head.headers["x-tollgate-code"] == "claude_code_only")
            #expect(try JSON(text: await refused.text())["error"]?["type"]?.string == "permission_error")
            #expect(try await stand.get("/v1/models", headers: Self.other).status == 403)
            let body = Stand.body()
            for path in ["/v1/messages/count_tokens", "/v1/chat/completions"] {
                #expect(try await stand.post(path, body, headers: Self.other).head.status == 403)
            }
            #expect(stand.upstreams.map(\.calls.count) == [0, 0])
            #expect(try await stand.ask(headers: Self.claudeCode).head.status == 200)
        }
    }
}
