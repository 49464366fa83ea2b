import Domain
import Postgres
import Snapshots

/// A statement that adds what the staged calls cost to what has been spent, and what its rows say has been spent now.
///
/// Its parameter is the factor up to which staged rows count.
struct SettlementBook: Sendable {
    let statement: String
    let numbers: @Sendable (PostgresRow) throws -> [CounterNumber]

    /// In the order in which their rows are locked.
    static func all(hasSubscriptions: Bool) -> [Self] {
        hasSubscriptions ? [keys, policies, subscriptions, wallet] : [keys, policies, wallet]
    }

    private static let keys = Self(
        statement: """
            update api_keys k set quota_used = k.quota_used + t.cost, money_seq = k.money_seq + 1,
                last_used_at = greatest(k.last_used_at, t.at)
            from (
                select key_id, sum(factor * cost)::bigint as cost, max(created_at) as at
                from settlement_staging where factor <= $1 group by key_id
            ) t
            where k.id = t.key_id
            returning k.id, k.user_id, k.quota > 0 as has_quota, k.quota_used, k.money_seq
            """
    ) { row in
        guard try row.optionalBool("has_quota") == true else { return [] }
        let partition = Partition(of: UserID(try row.int("user_id")))
        return [
            CounterNumber(
                name: CounterNames.quota(of: KeyID(try row.int("id")), partition),
                number: try row.int("quota_used"),
                sequence: try row.int("money_seq")
            )
        ]
    }

    /// Of a policy's windows only the latest is kept: one that a later one follows is over.
    private static let policies = Self(
        statement: """
            with calls as (
                select key_id, policy_version, policy_epoch, policy_window, factor * cost as cost,
                    max(policy_window) over (partition by key_id, policy_version, policy_epoch) as latest
                from settlement_staging where factor <= $1 and policy_window is not null
            )
            update key_policies p set
                used = case when t.policy_window > p.window_start_ms then t.cost else p.used + t.cost end,
                window_start_ms = t.policy_window, money_seq = p.money_seq + 1
            from (
                select key_id, policy_version, policy_epoch, policy_window, sum(cost)::bigint as cost from calls
                where policy_window = latest group by 1, 2, 3, 4
            ) t, api_keys k
            where p.key_id = t.key_id and p.version = t.policy_version and p.reset_epoch = t.policy_epoch
                and p.window_start_ms <= t.policy_window and k.id = p.key_id
            returning p.key_id, k.user_id, p.version, p.reset_epoch, p.window_start_ms, p.used, p.money_seq
            """
    ) { row in
        let window = FrozenLimits.Policy(
            version: try row.int("version"),
            resetEpoch: try row.int("reset_epoch"),
            window: try row.int("window_start_ms")
        )
        let partition = Partition(of: UserID(try row.int("user_id")))
        return [
            CounterNumber(
                name: CounterNames.policy(of: KeyID(try row.int("key_id")), window, partition),
                number: try row.int("used"),
                sequence: try row.int("money_seq")
            )
        ]
    }

    /// Of a subscription's windows, too, only the latest is kept. A call that was admitted before the subscription got
    /// another beginning has windows that are none of those from then on; it counts in none.
    private static let subscriptions: Self = {
        let kinds = CounterNames.SubscriptionWindow.allCases.map(\.rawValue)
        let time = "(timestamp 'epoch' + t.subscription_month * interval '1 millisecond')"
        let months = """
            ((extract(year from \(time)) - extract(year from s.begin)) * 12 + extract(month from \(time)) \
            - extract(month from s.begin))::int
            """
        let windows = """
            case when (t.subscription_day - s.begin_ms) % 86400000 = 0 then t.subscription_day end as day,
            case when (t.subscription_week - s.begin_ms) % 604800000 = 0 then t.subscription_week end as week,
            case when s.begin + make_interval(months => \(months)) = \(time) then t.subscription_month end as month
            """
        let latest = kinds.map { "max(\($0)) over (partition by subscription_id) as latest_\($0)" }
        let sums = kinds.map {
            """
            max(latest_\($0)) as \($0), coalesce(sum(cost) filter (where \($0) = latest_\($0)), 0)::bigint as \($0)_cost
            """
        }
        let sets = kinds.map {
            """
            \($0)_used = case when t.\($0) > s.\($0)_start_ms then t.\($0)_cost
                when t.\($0) = s.\($0)_start_ms then s.\($0)_used + t.\($0)_cost else s.\($0)_used end,
            \($0)_start_ms = greatest(s.\($0)_start_ms, t.\($0))
            """
        }
        let columns = kinds.map { "s.\($0)_start_ms, s.\($0)_used" }
        return Self(
            statement: """
                with begun as (
                    select id, starts_at at time zone 'UTC' as begin,
                        (extract(epoch from starts_at) * 1000)::bigint as begin_ms
                    from subscriptions
                ), placed as (
                    select t.subscription_id, t.factor * t.cost as cost, \(windows)
                    from settlement_staging t join begun s on s.id = t.subscription_id where t.factor <= $1
                ), calls as (
                    select *, \(latest.joined(separator: ", ")) from placed
                )
                update subscriptions s set \(sets.joined(separator: ", ")), money_seq = s.money_seq + 1
                from (
                    select subscription_id, \(sums.joined(separator: ", ")) from calls group by subscription_id
                ) t
                where s.id = t.subscription_id
                returning s.id, s.user_id, s.money_seq, \(columns.joined(separator: ", "))
                """
        ) { row in
            let partition = Partition(of: UserID(try row.int("user_id")))
            return try CounterNames.SubscriptionWindow.allCases.map { kind in
                CounterNumber(
                    name: CounterNames.subscription(
                        SubscriptionID(try row.int("id")),
                        kind,
                        start: try row.int("\(kind.rawValue)_start_ms"),
                        partition
                    ),
                    number: try row.int("\(kind.rawValue)_used"),
                    sequence: try row.int("money_seq")
                )
            }
        }
    }()

    /// What a subscription pays costs the wallet nothing.
    private static let wallet = Self(
        statement: """
            with deltas as (
                select request_id, user_id, max(n) as n, sum(factor * cost)::bigint as cost
                from settlement_staging where factor <= $1 and subscription_id is null
                group by request_id, user_id having sum(factor * cost) <> 0
            ), charged as (
                update users u set balance = u.balance - t.cost, money_seq = u.money_seq + 1
                from (select user_id, sum(cost)::bigint as cost from deltas group by user_id) t
                where u.id = t.user_id
                returning u.id, u.balance, u.balance + t.cost as before, u.money_seq
            ), noted as (
                insert into wallet_ledger (user_id, kind, amount, balance_after, request_id)
                select d.user_id, 'charge', -d.cost,
                    (c.before - sum(d.cost) over (partition by d.user_id order by d.n))::bigint, d.request_id
                from deltas d join charged c on c.id = d.user_id order by d.n
            )
            select id, balance, money_seq from charged
            """
    ) { row in
        [
            CounterNumber(
                name: CounterNames.wallet(of: UserID(try row.int("id"))),
                number: try row.int("balance"),
                sequence: try row.int("money_seq")
            )
        ]
    }
}
