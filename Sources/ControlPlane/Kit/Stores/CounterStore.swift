import Decisions
package import Domain
package import Postgres
import Snapshots

/// A number that workers count against, as Postgres has it.
package struct CounterNumber: Hashable, Sendable {
    /// In Redis.
    package var name: String
    package var number: Int64
    /// Grows with each change of the number.
    package var sequence: Int64
    /// When a window's counter may be forgotten, in milliseconds since 1970; nil for never.
    package var expiry: Int64?

    package init(name: String, number: Int64, sequence: Int64, expiry: Int64? = nil) {
        self.name = name
        self.number = number
        self.sequence = sequence
        self.expiry = expiry
    }
}

/// All that one user's calls are counted against.
package struct UserStanding: Sendable {
    package struct Policy: Hashable, Sendable {
        package var key: KeyID
        /// In the key's exhaustion (`CounterNames`).
        package var field: String
        /// Nil while it is not exhausted.
        package var exhaustedWindow: Int64?
    }
    package var user: UserID
    /// The wallet last.
    package var counters: [CounterNumber]
    /// Of windows that run and in which nothing has been settled yet.
    package var laterCounters: [CounterNumber] = []
    package var policies: [Policy]
}

/// Reads what users have spent.
package enum CounterStore {
    /// A window's counter is kept so long after its end: calls that began in it may end later.
    private static let afterlife: Int64 = 2 * 86_400_000

    /// - Parameter now: when the windows run that are told besides those that have been settled in; nil for none.
    package static func standings(
        of users: [UserID],
        runningAt now: Timestamp? = nil,
        _ connection: PostgresConnection
    ) async throws -> [UserStanding] {
        let ids: [PostgresParameter] = [.integers(users.map(\.raw))]
        var counters: [UserID: [CounterNumber]] = [:]
        var later: [UserID: [CounterNumber]] = [:]
        var policies: [UserID: [UserStanding.Policy]] = [:]
        for row in try await connection.query(
            """
            select id, user_id, quota_used, money_seq from api_keys
            where user_id = any($1::bigint[]) and deleted_at is null and quota > 0
            """,
            ids
        ) {
            let user = UserID(try row.int("user_id"))
            let name = CounterNames.quota(of: KeyID(try row.int("id")), Partition(of: user))
            counters[user, default: []].append(
                CounterNumber(name: name, number: try row.int("quota_used"), sequence: try row.int("money_seq"))
            )
        }
        for row in try await connection.query(
            """
            select k.user_id, \(KeyPolicyStore.columns) from key_policies p join api_keys k on k.id = p.key_id
            where k.user_id = any($1::bigint[]) and k.deleted_at is null
            """,
            ids
        ) {
            let user = UserID(try row.int("user_id"))
            let policy = try KeyPolicyStore.record(row)
            let partition = Partition(of: user)
            counters[user, default: []].append(policy.counter(partition))
            if let counter = now.flatMap({ policy.laterCounter(at: $0, partition) }) {
                later[user, default: []].append(counter)
            }
            policies[user, default: []].append(
                .init(
                    key: policy.key,
                    field: CounterNames.exhaustionField(policy.rule),
                    exhaustedWindow: policy.exhaustedWindow
                )
            )
        }
        for row in try await connection.query(
            """
            select \(SubscriptionStore.columns) from subscriptions s
            where s.user_id = any($1::bigint[]) and s.deleted_at is null
            """,
            ids
        ) {
            let subscription = try SubscriptionStore.record(row)
            let user = UserID(subscription.fields.user)
            counters[user, default: []] += subscription.counters()
            if let now { later[user, default: []] += subscription.laterCounters(at: now) }
        }
        return try await connection.query(
            "select id, balance, money_seq from users where id = any($1::bigint[])",
            ids
        ).map { row in
            let user = UserID(try row.int("id"))
            let wallet = CounterNumber(
                name: CounterNames.wallet(of: user),
                number: try row.int("balance"),
                sequence: try row.int("money_seq")
            )
            return UserStanding(
                user: user,
                counters: (counters[user] ?? []) + [wallet],
                laterCounters: later[user] ?? [],
                policies: policies[user] ?? []
            )
        }
    }

    /// Up to which entry of its stream each partition is settled, and in which epoch.
    static func positions(
        _ connection: PostgresConnection
    ) async throws -> [Partition: (epoch: String, lastID: String)] {
        var positions: [Partition: (epoch: String, lastID: String)] = [:]
        for row in try await connection.query("select partition, epoch, last_id from settlement_positions") {
            guard let partition = Partition(Int(try row.int("partition"))) else { continue }
            positions[partition] = (try row.text("epoch"), try row.text("last_id"))
        }
        return positions
    }

    static func expiry(of window: LimitWindow) -> Int64 { window.end.milliseconds + afterlife }
}
