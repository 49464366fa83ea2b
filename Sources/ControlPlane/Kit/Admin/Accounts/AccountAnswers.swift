import Domain
import Formats
import Redis
import Snapshots

/// Accounts as they are answered: what Postgres has of them, and of each how many calls it serves just now.
struct AccountAnswers {
    private let context: AdminContext
    private let view = AccountView.view
    var schema: JSON { view.schema }

    init(_ context: AdminContext) { self.context = context }

    func json(_ account: AccountRecord) async -> JSON { view.json(await live([account]).first ?? account) }

    func json(_ accounts: [AccountRecord]) async -> [JSON] { await live(accounts).map { view.json($0) } }

    /// Slots are leases that end by Redis' clock; those of dead workers stand until somebody looks for a free one.
    private func live(_ accounts: [AccountRecord]) async -> [AccountRecord] {
        guard let redis = context.redis, !accounts.isEmpty,
            let time = try? await redis.time(),
            let counts = try? await redis.sendAll(
                accounts.map {
                    RedisCommand(["ZCOUNT", RedisNames.slots(of: $0.id), "\(time / 1000)", "+inf"])
                }
            )
        else { return accounts }
        return zip(accounts, counts).map { account, count in
            var account = account
            account.inFlight = count.integer
            return account
        }
    }
}
