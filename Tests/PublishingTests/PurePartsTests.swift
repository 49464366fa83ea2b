import ControlKit
import Domain
import Formats
import Reactor
import Snapshots
import TestSupport
import Testing

@Suite("Parts of publishing and settlement that need nothing")
struct PurePartsTests {
    @Test("the head of every kind of signed text is read, and nothing else is taken for one")
    func heads() {
        let codec = SnapshotCodec(SnapshotSigner(key: [1]))
        let config = codec.encode(
            ConfigSnapshot(
                version: SnapshotVersion(epoch: 3, revision: 45),
                publishedAt: Timestamp(microseconds: 0)
            )
        )
        #expect(SnapshotHead(config).map { [$0.first, $0.second] } == [3, 45])
        #expect(SnapshotHead(Array(config.prefix(SnapshotHead.length))) == SnapshotHead(config))
        #expect(SnapshotHead(config)?.signature == String(decoding: config.prefix(64), as: UTF8.self))
        let entry = CredentialEntry(account: AccountID(6), version: 1 << 52, sealed: "x")
        #expect(SnapshotHead(codec.encode(entry)).map { [$0.first, $0.second] } == [1 << 52, 6])
        for text in ["", "x", String(repeating: "a", count: 64), String(repeating: "a", count: 64) + " {}"] {
            #expect(SnapshotHead(Array(text.utf8)) == nil)
        }
        for count in 0..<90 { #expect(SnapshotHead(Array(config.prefix(count))) == nil) }
    }

    private static func config(
        gatewaySetting: JSON,
        overloadSetting: JSON? = nil,
        rateLimitSetting: JSON? = nil
    ) -> ConfigSnapshot {
        SnapshotBuilder(databaseEpoch: 1).config(
            revision: 1,
            publishedAt: Timestamp(microseconds: 0),
            groups: [],
            accounts: [],
            proxies: [],
            prices: [],
            gatewaySetting: gatewaySetting,
            overloadSetting: overloadSetting,
            rateLimitSetting: rateLimitSetting
        )
    }

    @Test("stored settings fill the snapshot; what is unknown or out of bounds has its default")
    func settings() {
        let setting: JSON = ["max_switches": 4, "account_isolation": true, "idle_timeout_seconds": 0, "later": 1]
        let config = Self.config(
            gatewaySetting: setting
        )
        #expect(config.settings.maximumSwitches == 4)
        #expect(config.settings.isolatesAccounts)
        #expect(config.settings.idleTimeout == .seconds(120))
    }

    struct CooldownCase: Sendable {
        var setting: String?
        var overload: Int64?
        var rateLimit: Int64?
    }

    private static let cooldownCases: [CooldownCase] = [
        CooldownCase(setting: nil, overload: 600, rateLimit: 5),
        CooldownCase(setting: "{}", overload: 600, rateLimit: 5),
        CooldownCase(setting: #""junk""#, overload: 600, rateLimit: 5),
        CooldownCase(
            setting: #"{"enabled": true, "cooldown_minutes": 120, "seconds": 7200}"#,
            overload: 7200,
            rateLimit: 7200
        ),
        CooldownCase(setting: #"{"enabled": false, "cooldown_minutes": 3, "seconds": 3}"#),
        CooldownCase(
            setting: #"{"enabled": "no", "cooldown_minutes": 121, "seconds": 0}"#,
            overload: 600,
            rateLimit: 5
        ),
        CooldownCase(setting: #"{"cooldown_minutes": 1, "seconds": 1}"#, overload: 60, rateLimit: 1),
        CooldownCase(setting: #"{"cooldown_minutes": 1.5, "seconds": "9"}"#, overload: 600, rateLimit: 5),
    ]

    @Test(
        "a stored cooldown fills the snapshot; what cannot be read has its default, and off is none",
        arguments: cooldownCases
    )
    func cooldowns(row: CooldownCase) throws {
        let setting = try row.setting.map { try JSON(text: $0) }
        let config = Self.config(
            gatewaySetting: ["unauthorized_pause_minutes": 7],
            overloadSetting: setting,
            rateLimitSetting: setting
        )
        #expect(config.cooldowns.overload == row.overload.map { .seconds($0) })
        #expect(config.cooldowns.rateLimit == row.rateLimit.map { .seconds($0) })
        #expect(config.cooldowns.unauthorized == .seconds(420))
    }

    @Test("a deleted group is not in the snapshot, though its revision is published")
    func deletedGroup() {
        let group = GroupSnapshot(id: GroupID(1), revision: 9, name: "g", platform: .anthropic)
        let builder = SnapshotBuilder(databaseEpoch: 2)
        let config = builder.config(
            revision: 9,
            publishedAt: Timestamp(microseconds: 0),
            groups: [GroupRow(snapshot: group, isDeleted: true), GroupRow(snapshot: group, isDeleted: false)],
            accounts: [],
            proxies: [],
            prices: [],
            gatewaySetting: nil
        )
        #expect(config.groups.map(\.revision) == [SnapshotVersion(epoch: 2, revision: 9).stamp])
    }

    @Test("of several records of one call the first final one counts, in its first one's place")
    func distinct() {
        func item(_ id: String, _ phase: SettlementPhase, _ cost: Int64) -> SettlementItem {
            var record = UsageRecord(
                requestID: id,
                createdAt: Timestamp(microseconds: 0),
                user: UserID(1),
                key: KeyID(1),
                group: GroupID(1),
                account: AccountID(1),
                model: "m",
                upstreamModel: "m",
                dialect: .anthropic,
                isStream: false,
                status: 200
            )
            record.phase = phase
            record.cost = NanoUSD(cost)
            return SettlementItem(record)
        }
        let items = [
            item("a", .swept, 1), item("b", .final, 2), item("a", .final, 3), item("a", .final, 4),
            item("b", .swept, 5), item("c", .swept, 6), item("c", .swept, 7),
        ]
        #expect(SettlementRules.distinct(items).map(\.record.cost.raw) == [3, 2, 6])
    }

    @Test("who asks while a job runs waits for the next run, shared with all who asked meanwhile")
    func sharedRun() async throws {
        try await onLoop { loop in
            var runs: [Bool] = []
            let gate = Promise<Void>()
            let run = SharedRun(loop) { isUrgent in
                runs.append(isUrgent)
                if runs.count == 1 { try await gate.wait() }
                if runs.count == 2 { throw JSONError.empty }
            }
            var ended: [String] = []
            loop.spawn {
                try? await run.run()
                ended.append("first")
            }
            for (name, isUrgent) in [("second", false), ("third", true)] {
                loop.spawn {
                    do { try await run.run(isUrgent: isUrgent) } catch { ended.append(name) }
                }
            }
            #expect(runs == [false])
            gate.succeed(())
            while ended.count < 3 { await loop.sleep(.milliseconds(1)) }
            #expect(runs == [false, true])
            #expect(ended.sorted() == ["first", "second", "third"])
        }
    }

    @Test("a swept call taken out and put in again leaves the difference")
    func usageCorrection() {
        var usage = KeyUsage(key: KeyID(1), now: Timestamp(microseconds: 86_400_000_000 * 3 + 5))
        let today = Timestamp(microseconds: 86_400_000_000 * 3)
        var call = UsageFacts(key: KeyID(1), createdAt: today, usage: TokenUsage(input: 5, output: 6), cost: NanoUSD(7))
        usage.add(call)
        usage.add(call, factor: -1)
        call.cost = NanoUSD(9)
        usage.add(call)
        call.key = KeyID(2)
        usage.add(call)
        #expect(usage.total.requests == 1)
        #expect(usage.today == usage.total)
        #expect(usage.total.cost == NanoUSD(9))
        #expect(usage.balance == NanoUSD(-18))
        #expect(usage.rpm == 1)
        #expect(usage.tpm == 11)
        call.key = KeyID(1)
        call.createdAt = Timestamp(microseconds: today.microseconds - 61_000_000)
        usage.add(call)
        #expect(usage.today.requests == 1)
        #expect(usage.total.requests == 2)
        #expect(usage.rpm == 1)
    }
}
