import Domain
import GatewayKit
import HTTPMessages
import Reactor
import Snapshots
import Testing

@Suite("Admission by the snapshot alone")
struct AdmissionPolicyTests {
    private static let now = Timestamp(microseconds: 1_000_000_000)

    private func key(_ body: (inout KeySnapshot) -> Void) -> KeySnapshot {
        var key = KeySnapshot(
            id: KeyID(1),
            hash: "h",
            revision: 1,
            user: UserID(1),
            userRevision: 1,
            group: GroupID(1)
        )
        body(&key)
        return key
    }

    private func outcome(_ key: KeySnapshot, from ip: String = "10.0.0.9", allowsExpired: Bool = false) -> GatewayError
        .Code?
    {
        do throws(GatewayError) {
            let address = SocketAddress(ip: ip, port: 1)?.bytes ?? []
            try AdmissionPolicy.check(key, address: address, now: Self.now, allowsExpired: allowsExpired)
            return nil
        } catch {
            return error.code
        }
    }

    @Test("the first step that refuses answers")
    func order() {
        let all: (inout KeySnapshot) -> Void = {
            $0.isActive = false
            $0.ipBlacklist = ["10.0.0.0/8"]
            $0.expiresAt = Timestamp(microseconds: 1)
            $0.isUserActive = false
        }
        var refused = key(all)
        #expect(outcome(refused) == .invalidAPIKey)
        refused.isActive = true
        #expect(outcome(refused) == .accessDenied)
        refused.ipBlacklist = []
        #expect(outcome(refused) == .apiKeyExpired)
        refused.expiresAt = nil
        #expect(outcome(refused) == .userDisabled)
        refused.isUserActive = true
        #expect(outcome(refused) == nil)
    }

    @Test(
        "a key ends at the moment of its expiry",
        arguments: [
            (Int64(-1), GatewayError.Code.apiKeyExpired), (0, .apiKeyExpired), (1, nil),
        ] as [(Int64, GatewayError.Code?)]
    )
    func expiry(offset: Int64, expected: GatewayError.Code?) {
        let ends = key { $0.expiresAt = Timestamp(microseconds: Self.now.microseconds + offset) }
        #expect(outcome(ends) == expected)
        #expect(outcome(ends, allowsExpired: true) == nil)
    }

    @Test(
        "addresses: an empty whitelist admits all, the blacklist wins, v4-mapped counts as v4",
        arguments: [
            ([], [], "10.0.0.9", true), (["10.0.0.0/8"], [], "10.0.0.9", true), (["10.0.0.0/8"], [], "11.0.0.9", false),
            (["10.0.0.0/8"], ["10.0.0.9"], "10.0.0.9", false), ([], ["10.0.0.9"], "10.0.0.8", true),
            (["10.0.0.0/8"], [], "::ffff:10.0.0.9", true), ([], ["10.0.0.0/8"], "::ffff:10.0.0.9", false),
            (["2001:db8::/32"], [], "2001:db8::1", true), (["2001:db8::/32"], [], "2001:db9::1", false),
            (["0.0.0.0/0"], [], "2001:db8::1", false), (["::/0"], [], "10.0.0.9", true),
            (["nonsense"], [], "10.0.0.9", false),
            ([], ["10.0.0.0/33"], "10.0.0.9", false),
        ] as [([String], [String], String, Bool)]
    )
    func addresses(white: [String], black: [String], ip: String, isAdmitted: Bool) {
        let ruled = key {
            $0.ipWhitelist = white
            $0.ipBlacklist = black
        }
        #expect(outcome(ruled, from: ip) == (isAdmitted ? nil : .accessDenied))
    }

    @Test("an address that is not known passes no whitelist")
    func unknownAddress() {
        #expect(outcome(key { $0.ipWhitelist = ["0.0.0.0/0"] }, from: "none") == .accessDenied)
    }

    @Test("the text for an address says no more than it must")
    func deniedText() {
        #expect(throws: GatewayError.self) {
            try AdmissionPolicy.check(key { $0.ipWhitelist = ["10.1.1.1"] }, address: [], now: Self.now)
        }
        do throws(GatewayError) {
            try AdmissionPolicy.check(key { $0.ipWhitelist = ["10.1.1.1"] }, address: [], now: Self.now)
        } catch {
            #expect(error.message == "Access denied" && error.status == 403)
        }
    }

    @Test("a group must be there and active, and its allowlist name the model")
    func group() throws {
        func group(_ body: (inout GroupSnapshot) -> Void) -> ServingGroup? {
            var group = GroupSnapshot(id: GroupID(1), revision: 1, name: "g", platform: .anthropic)
            body(&group)
            var config = ConfigSnapshot(
                version: SnapshotVersion(epoch: 1, revision: 1),
                publishedAt: Timestamp(microseconds: 0)
            )
            config.groups = [group]
            return GatewayConfig(config).group(GroupID(1))
        }
        func code(_ group: ServingGroup?, _ model: String) -> GatewayError.Code? {
            do throws(GatewayError) {
                try AdmissionPolicy.check(AdmissionPolicy.active(group), model: model)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(code(nil, "m") == .groupInactive)
        #expect(code(group { $0.isActive = false }, "m") == .groupInactive)
        #expect(code(group { _ in }, "m") == nil)
        #expect(code(group { $0.modelAllowlist = ["n"] }, "m") == .modelNotAllowed)
        #expect(code(group { $0.modelAllowlist = ["n", "m"] }, "m") == nil)
        #expect(code(group { $0.modelAllowlist = ["M"] }, "m") == .modelNotAllowed)
    }

    @Test(
        "who is not Claude Code gets the group that the key's group falls back to, and without one nothing",
        arguments: [
            (nil, 1, nil), (nil, 2, .claudeCodeOnly), (3, 2, nil), (9, 2, .claudeCodeOnly), (4, 2, .claudeCodeOnly),
            (5, 2, .claudeCodeOnly), (6, 2, .groupInactive), (2, 2, .claudeCodeOnly),
        ] as [(Int64?, Int64, GatewayError.Code?)]
    )
    func claudeCodeOnly(fallback: Int64?, own: Int64, expected: GatewayError.Code?) {
        var config = ConfigSnapshot(
            version: SnapshotVersion(epoch: 1, revision: 1),
            publishedAt: Timestamp(microseconds: 0)
        )
        config.groups = (1...6).map {
            GroupSnapshot(id: GroupID($0), revision: 1, name: "g\($0)", platform: $0 == 4 ? .openai : .anthropic)
        }
        config.groups[1].isClaudeCodeOnly = true
        config.groups[1].fallbackGroup = fallback.map { GroupID($0) }
        config.groups[4].isClaudeCodeOnly = true
        config.groups[5].isActive = false
        let serving = GatewayConfig(config)
        let key = key { $0.group = GroupID(own) }
        do throws(GatewayError) {
            #expect(try AdmissionPolicy.group(of: key, serving, isClaudeCode: true).id == GroupID(own))
            let group = try AdmissionPolicy.group(of: key, serving, isClaudeCode: false)
            #expect(expected == nil && group.id == (own == 2 ? GroupID(fallback ?? 0) : GroupID(own)))
        } catch {
            #expect(error.code == expected && error.status == 403)
        }
    }

    @Test(
        "Claude Code is told by its name and version, in any case",
        arguments: [
            ("claude-cli/1.0.0", true), ("Claude-CLI/2.1.78 (external, cli)", true), ("CLAUDE-CLI/10.20.30", true),
            ("claude-cli/1.2.3-beta", true), ("claude-cli/1.2", false), ("claude-cli/1.2.", false),
            ("claude-cli/", false), ("claude-cli", false), ("claude-cli/a.b.c", false), ("claude-cli/1..2", false),
            ("claude-cli /1.0.0", false), ("x claude-cli/1.0.0", false), ("claude\u{0D}cli/1.0.0", false),
            ("claude-cli\u{0F}1.0.0", false), ("curl/8.0", false), ("", false), ("claude-cli/1.2.x", false),
        ]
    )
    func claudeCode(userAgent: String, expected: Bool) {
        #expect(ClaudeCode.isCaller(["user-agent": userAgent]) == expected)
    }
}
