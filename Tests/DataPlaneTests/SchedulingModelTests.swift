import Dialects
import Domain
import GatewayKit
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

/// What the scheduler and the script `acquire` decide together, beside a model that is too simple to be wrong.
private final class PoolModel {
    struct Account {
        var priority: Int
        var concurrency: Int
        var calls: Set<String> = []
        var isFlagged = false
        var limited: Set<String> = []
        var models: Set<String>
    }
    var accounts: [AccountID: Account] = [:]

    func eligible(_ model: String) -> [AccountID] {
        accounts.filter { _, account in
            account.models.contains(model) && !account.isFlagged && !account.limited.contains(model)
                && (account.concurrency == 0 || account.calls.count < account.concurrency)
        }.map(\.key)
    }
}

@Suite(
    "The scheduler beside a simple model",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct SchedulingModelTests {
    private static let models = ["m1", "m2", "m3"]

    /// A worker's loop, as far as choosing goes.
    private struct Chooser {
        let slots: SlotStore
        let sets: CandidateSets

        init(_ redis: RedisClient) {
            slots = SlotStore(redis)
            sets = CandidateSets(slots)
        }
    }

    private static var now: Timestamp { Timestamp.now }

    @Test(
        "two workers never exceed a concurrency, never choose an ineligible account, and find one whenever there is one",
        arguments: [1, 2, 3, 4, 5, 6] as [UInt64]
    )
    func property(seed: UInt64) async throws {
        try await standing { (stand) async throws in
            var random = SeededGenerator(seed: seed)
            let pool = PoolModel()
            var config = ConfigSnapshot(
                version: SnapshotVersion(epoch: 1, revision: 1),
                publishedAt: Timestamp(microseconds: 0)
            )
            config.groups = [GroupSnapshot(id: GroupID(2), revision: 1, name: "g", platform: .anthropic)]
            for number in 1...8 {
                let served = Set(Self.models.filter { _ in Bool.random(using: &random) })
                let account = AccountSnapshot(
                    id: AccountID(Int64(number)),
                    name: "a\(number)",
                    platform: .anthropic,
                    type: .apikey,
                    groups: [GroupID(2)],
                    priority: Int.random(in: 0...2, using: &random),
                    concurrency: Int.random(in: 0...3, using: &random),
                    modelMapping: Dictionary(uniqueKeysWithValues: served.map { ($0, $0) }),
                    plainCredentials: ["base_url": "http://127.0.0.1:9"]
                )
                config.accounts.append(account)
                pool.accounts[account.id] = PoolModel.Account(
                    priority: account.priority,
                    concurrency: account.concurrency,
                    models: served.isEmpty ? Set(Self.models) : served
                )
            }
            let group = try #require(GatewayConfig(config).group(GroupID(2)))
            let workers = [Chooser(stand.redis), Chooser(stand.redis)]
            let ids = config.accounts.map(\.id)
            for step in 0..<400 {
                let worker = workers[Int.random(in: 0...1, using: &random)]
                let account = ids[Int.random(in: 0..<ids.count, using: &random)]
                switch Int.random(in: 0..<20, using: &random) {
                case 0..<11:
                    let model = Self.models[Int.random(in: 0..<Self.models.count, using: &random)]
                    try await call(worker, group, model, "r\(step)", random.next(), pool)
                case 11..<17:
                    guard let held = pool.accounts[account]?.calls.first else { continue }
                    worker.slots.of(account).release(requestID: held)
                    // The other worker asks in the same turn.
                    worker.slots.of(account).writeGathered()
                    pool.accounts[account]?.calls.remove(held)
                case 17:
                    let end = Self.now + .seconds(3600)
                    try await mark([.rateLimited(until: end, isGuessed: false)], account, stand.redis)
                    pool.accounts[account]?.isFlagged = true
                case 18:
                    let model = Self.models[Int.random(in: 0..<Self.models.count, using: &random)]
                    try await mark([.modelLimited(model, until: Self.now + .seconds(3600))], account, stand.redis)
                    pool.accounts[account]?.limited.insert(model)
                default:
                    try await stand.run("DEL", RedisNames.marks(of: account))
                    for worker in workers { worker.slots.forgetHints(of: account) }
                    pool.accounts[account]?.isFlagged = false
                    pool.accounts[account]?.limited = []
                }
            }
            for (account, state) in pool.accounts {
                #expect(try await stand.count("ZCARD", RedisNames.slots(of: account)) == Int64(state.calls.count))
            }
        }
    }

    private func mark(_ effects: [AccountEffect], _ account: AccountID, _ redis: RedisClient) async throws {
        _ = try await redis.run(
            AccountScripts.mark,
            keys: [RedisNames.marks(of: account)],
            arguments: ["0"] + effects.compactMap { $0.marking(because: .success) }.flatMap { $0 }
        )
    }

    /// One call as the relay makes it: the best account, then the next best where that refuses.
    private func call(
        _ worker: Chooser,
        _ group: ServingGroup,
        _ model: String,
        _ id: String,
        _ chance: UInt64,
        _ pool: PoolModel
    ) async throws {
        let set = worker.sets.of(group, CallRoute(.anthropic), model: model)
        let candidates = Candidates(set, worker.slots.board, bound: nil)
        let eligible = pool.eligible(model)
        var refused: Set<AccountID> = []
        while let candidate = candidates.best(now: Self.now, chance: chance, excluding: { refused.contains($0) }) {
            let account = candidate.account
            let answer = try await candidate.slots.acquire(
                limit: account.snapshot.concurrency,
                rate: 0,
                model: candidate.model,
                requestID: id,
                now: Self.now
            )
            guard case .granted = answer else {
                #expect(!eligible.contains(account.id), "an eligible account refused")
                refused.insert(account.id)
                continue
            }
            #expect(eligible.contains(account.id), "account \(account.id) was not eligible for \(model)")
            let best = eligible.compactMap { pool.accounts[$0]?.priority }.min()
            #expect(account.snapshot.priority == best, "a better one was free")
            pool.accounts[account.id]?.calls.insert(id)
            return
        }
        #expect(eligible.isEmpty, "none was found, but there were \(eligible)")
    }
}
