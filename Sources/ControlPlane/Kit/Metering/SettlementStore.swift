package import Domain
package import Postgres
package import Snapshots
import Telemetry

/// Writes usage records into the books: each call once, in every table or in none.
///
/// Records are loaded into a temporary table, where one statement a book turns them into rows and sums. A row with
/// factor −1 takes back what a swept record had booked before its final one came.
package enum SettlementStore {
    /// How far a partition's stream is settled after this.
    package struct Position: Hashable, Sendable {
        package var partition: Partition
        package var epoch: String
        package var lastID: StreamID

        package init(partition: Partition, epoch: String, lastID: StreamID) {
            self.partition = partition
            self.epoch = epoch
            self.lastID = lastID
        }
    }

    package struct Outcome: Hashable, Sendable {
        /// Calls settled for the first time.
        package var new = 0
        /// Calls whose final record replaced a swept one.
        package var corrected = 0
        /// Records of calls that were settled already.
        package var repeated = 0
        /// Records of which nobody can tell whether they were settled; put aside.
        package var buried: [SettlementItem] = []
        /// What has been spent by now, of all that these calls are counted against.
        package var numbers: [CounterNumber] = []
        /// The same of the accounts that served them.
        package var accounts: [AccountQuotaStanding] = []

        package init() {}

        package mutating func add(_ other: Outcome) {
            new += other.new
            corrected += other.corrected
            repeated += other.repeated
            buried += other.buried
            numbers += other.numbers
            accounts += other.accounts
        }
    }

    /// Makes the staging table of a session, where it is missing.
    package static func prepare(_ connection: PostgresConnection) async throws {
        try await connection.runScript(
            """
            create temporary table if not exists settlement_staging (
                n int not null, factor int not null, phase text not null, request_id text collate "C" not null,
                created_at timestamptz not null, user_id bigint not null, key_id bigint not null,
                account_id bigint not null, group_id bigint not null, model text not null, upstream_model text not null,
                dialect text not null, stream boolean not null, input_tokens bigint not null,
                output_tokens bigint not null, cache_creation_5m_tokens bigint not null,
                cache_creation_1h_tokens bigint not null, cache_read_tokens bigint not null,
                web_searches bigint not null, image_input_tokens bigint not null, audio_input_tokens bigint not null,
                image_output_tokens bigint not null, audio_output_tokens bigint not null, service_tier text not null,
                cost bigint not null, account_cost bigint not null,
                multiplier bigint not null, account_multiplier bigint not null, price_version bigint not null,
                duration_ms bigint not null, first_token_ms bigint, status int not null, ip text not null,
                user_agent text not null, usage_estimated boolean not null, cache_ttl_overridden boolean not null,
                "end" text not null, has_quota boolean not null, policy_version bigint, policy_epoch bigint,
                policy_window bigint, subscription_id bigint, subscription_day bigint, subscription_week bigint,
                subscription_month bigint
            ) on commit delete rows
            """
        )
    }

    /// Settles records inside the connection's transaction.
    ///
    /// The positions' rows are locked first, so that settlements of one partition run one after another, whoever does
    /// them; a call belongs to one user and so to one partition.
    ///
    /// - Throws: `PostgresError`.
    package static func settle(
        _ items: [SettlementItem],
        positions: [Position],
        _ connection: PostgresConnection
    ) async throws -> Outcome {
        // The tables grow a thousandfold while a plan made for the first batch would stay.
        try await connection.execute("set local plan_cache_mode = force_custom_plan")
        let partitions = Set(items.map(\.partition) + positions.map(\.partition))
        let (known, now) = try await lockPositions(partitions, connection)
        var items = SettlementRules.distinct(items)
        var outcome = Outcome()
        var unbooked: Set<Int64> = []
        if !items.isEmpty {
            var rows = CopyRows(columns: columns.count, rows: items.count)
            for (number, item) in items.enumerated() { add(number, item.record, to: &rows) }
            try await connection.copy(into: "settlement_staging", columns: columns, rows)
            (outcome, unbooked) = try await book(&items, now, connection)
            try await noteSpending(of: items, connection)
        }
        try await advance(positions, from: known, connection)
        // Last, since settlements of other partitions wait for the same rows.
        outcome.accounts = try await bookAccounts(
            items,
            except: unbooked,
            isCorrecting: outcome.corrected > 0,
            connection
        )
        return outcome
    }

    /// What did not come through a stream no acknowledgement tells Redis of: the outbox does.
    private static func noteSpending(of items: [SettlementItem], _ connection: PostgresConnection) async throws {
        let posted = items.filter { $0.streamID == nil }
        guard !posted.isEmpty else { return }
        try await noteSpending(of: Set(posted.map(\.record.user)), connection)
        try await connection.execute(
            """
            insert into outbox (kind, subject) select 'account_quota', a.id from accounts a
            where a.id = any($1::bigint[]) and greatest(a.quota_daily, a.quota_weekly, a.quota_total, 0) > 0
            """,
            [.integers(Set(posted.map(\.record.account.raw)).sorted())]
        )
    }

    /// Has everything that these users' calls are counted against written into Redis, exhaustions included.
    static func noteSpending(of users: Set<UserID>, _ connection: PostgresConnection) async throws {
        guard !users.isEmpty else { return }
        try await connection.execute(
            "insert into outbox (kind, subject) select 'money', u from unnest($1::bigint[]) u order by u",
            [.integers(users.map(\.raw).sorted())]
        )
    }

    /// - Parameter items: get another time where theirs cannot be true.
    /// - Returns: also the numbers of the items that are not booked: they were settled already, or are put aside.
    private static func book(
        _ items: inout [SettlementItem],
        _ now: Timestamp,
        _ connection: PostgresConnection
    ) async throws -> (Outcome, unbooked: Set<Int64>) {
        var outcome = Outcome()
        var corrected: [String] = []
        var repeated: [Int64] = []
        let settled = try await connection.query(
            """
            select t.n, t.phase, s.phase as settled_phase, s.request_id
            from settlement_staging t join settled s using (request_id) where t.factor = $1
            """,
            [1]
        )
        for row in settled {
            if SettlementRules.replaces(try row.choice("phase"), try row.choice("settled_phase")) {
                corrected.append(try row.text("request_id"))
            } else {
                repeated.append(try row.int("n"))
            }
        }
        let decided = Set(repeated)
        let odd = items.indices.filter { SettlementRules.isOdd(items[$0].record.createdAt, at: now) }.map { Int64($0) }
            .filter { !decided.contains($0) }
        let times = try await SettlementTimes(of: odd, replacing: corrected, connection)
        repeated += times.known
        outcome.repeated = repeated.count
        outcome.buried = times.unknowable.map { items[Int($0)] }
        for item in outcome.buried {
            try await bury(item, reason: "created_at (older than the usage log)", connection)
        }
        let unbooked = repeated + times.unknowable
        // Redis may not know what they have spent: whoever settled them may have died before saying so.
        if !unbooked.isEmpty {
            let users = Set(unbooked.map { items[Int($0)].record.user }).sorted { $0.raw < $1.raw }
            outcome.numbers = try await CounterStore.standings(of: users, connection).flatMap(\.counters)
            try await connection.execute(
                "delete from settlement_staging where n = any($1::int[])",
                [.integers(unbooked)]
            )
        }
        if !times.untimely.isEmpty {
            for number in times.untimely { items[Int(number)].record.createdAt = now }
            try await connection.execute(
                "update settlement_staging set created_at = \(SQL.time("$2")) where n = any($1::int[]) and factor = 1",
                [.integers(times.untimely), .integer(now.microseconds)]
            )
        }
        outcome.corrected = corrected.count
        if !corrected.isEmpty { try await takeBack(corrected, connection) }

        outcome.new = try await connection.execute(
            """
            insert into settled (request_id, phase, cost)
            select request_id, phase, cost from settlement_staging
            where factor = $1 and not (request_id = any($2::text[]))
            on conflict do nothing
            """,
            [1, .texts(corrected)]
        )
        guard outcome.new + outcome.corrected + unbooked.count == items.count else {
            // Somebody settled one of these calls without its partition's lock: look again.
            throw PostgresError.server(state: "40001", message: "a call was settled meanwhile", constraint: nil)
        }
        guard outcome.new + outcome.corrected > 0 else { return (outcome, Set(unbooked)) }
        for statement in [records, daily, accounts] { try await connection.execute(statement, [1]) }
        let hasSubscriptions = items.contains { $0.record.limits.subscription != nil }
        if hasSubscriptions { try await connection.execute(lockSubscriptions, [1]) }
        for book in SettlementBook.all(hasSubscriptions: hasSubscriptions) {
            outcome.numbers += try await connection.query(book.statement, [1]).flatMap(book.numbers)
        }
        if items.contains(where: { $0.record.limits.policy != nil }) {
            try await KeyPolicyStore.noteExhausted(on: connection)
        }
        return (outcome, Set(unbooked))
    }

    /// What the calls cost their accounts. Each counts when it ended, as it does in Redis.
    private static func bookAccounts(
        _ items: [SettlementItem],
        except unbooked: Set<Int64>,
        isCorrecting: Bool,
        _ connection: PostgresConnection
    ) async throws -> [AccountQuotaStanding] {
        var charges: [AccountID: [AccountQuotaStore.Charge]] = [:]
        for (number, item) in items.enumerated() {
            let record = item.record
            let end = record.createdAt.microseconds &+ record.durationMilliseconds &* 1000
            guard record.accountCost != .zero, !unbooked.contains(Int64(number)) else {
                charges[record.account, default: []] += []
                continue
            }
            charges[record.account, default: []].append(
                .init(time: Timestamp(microseconds: end), cost: record.accountCost)
            )
        }
        if isCorrecting {
            let taken = try await connection.query(
                """
                select account_id, account_cost, (extract(epoch from created_at) * 1000000)::bigint
                    + duration_ms * 1000 as ended_at
                from settlement_staging where factor = $1
                """,
                [-1]
            )
            for row in taken {
                charges[AccountID(try row.int("account_id")), default: []].append(
                    .init(time: try row.time("ended_at"), cost: NanoUSD(-(try row.int("account_cost"))))
                )
            }
        }
        return try await AccountQuotaStore.book(charges, connection)
    }

    /// Puts what swept records have booked into the staging table with factor −1.
    private static func takeBack(_ requestIDs: [String], _ connection: PostgresConnection) async throws {
        let list = recordColumns.joined(separator: ", ")
        try await connection.execute(
            """
            with old as (delete from usage_records where request_id = any($1::text[]) returning \(list))
            insert into settlement_staging (n, factor, phase, \(list)) select 0, -1, 'swept', \(list) from old
            """,
            [.texts(requestIDs)]
        )
        try await connection.execute(
            """
            update settled s set phase = t.phase, cost = t.cost, settled_at = now()
            from settlement_staging t
            where t.factor = 1 and s.request_id = t.request_id and s.request_id = any($1::text[])
            """,
            [.texts(requestIDs)]
        )
    }

    // MARK: Books

    private static let recordColumns = [
        "request_id", "created_at", "user_id", "key_id", "account_id", "group_id", "model", "upstream_model",
        "dialect", "stream", "input_tokens", "output_tokens", "cache_creation_5m_tokens", "cache_creation_1h_tokens",
        "cache_read_tokens", "web_searches", "image_input_tokens", "audio_input_tokens", "image_output_tokens",
        "audio_output_tokens", "service_tier", "cost", "account_cost", "multiplier", "account_multiplier",
        "price_version",
        "duration_ms", "first_token_ms", "status", "ip", "user_agent", "usage_estimated",
        "cache_ttl_overridden", "\"end\"", "has_quota", "policy_version", "policy_epoch", "policy_window",
        "subscription_id", "subscription_day", "subscription_week", "subscription_month",
    ]

    private static let records: String = {
        let list = recordColumns.joined(separator: ", ")
        return "insert into usage_records (\(list)) select \(list) from settlement_staging where factor = $1"
    }()

    private static let daily = """
        insert into key_usage_daily as d (key_id, day, requests, input_tokens, output_tokens, cache_creation_tokens,
            cache_read_tokens, cost)
        select key_id, (created_at at time zone 'UTC')::date, sum(factor), sum(factor * input_tokens),
            sum(factor * output_tokens), sum(factor * (cache_creation_5m_tokens + cache_creation_1h_tokens)),
            sum(factor * cache_read_tokens), sum(factor * cost)
        from settlement_staging where factor <= $1 group by 1, 2 order by 1, 2
        on conflict (key_id, day) do update set
            requests = d.requests + excluded.requests,
            input_tokens = d.input_tokens + excluded.input_tokens,
            output_tokens = d.output_tokens + excluded.output_tokens,
            cache_creation_tokens = d.cache_creation_tokens + excluded.cache_creation_tokens,
            cache_read_tokens = d.cache_read_tokens + excluded.cache_read_tokens,
            cost = d.cost + excluded.cost
        """

    /// Waits for whoever gives a subscription another beginning: what follows must know it.
    private static let lockSubscriptions = """
        select from subscriptions where id in (select subscription_id from settlement_staging where factor <= $1)
        order by id for update
        """

    /// Accounts are shared by all partitions: a row that another settlement or an admin holds just now is passed over,
    /// since the time of last use is only shown.
    private static let accounts = """
        with used as (
            select account_id, max(created_at) as at from settlement_staging where factor = $1 group by account_id
        ), free as (
            select a.id from accounts a join used on used.account_id = a.id
            where a.last_used_at is null or a.last_used_at < used.at - interval '1 second'
            for no key update of a skip locked
        )
        update accounts a set last_used_at = used.at from used, free where a.id = free.id and used.account_id = a.id
        """

    // MARK: Staging

    private static let columns =
        ["n", "factor", "phase"] + recordColumns.map { $0 == "\"end\"" ? "end" : $0 }

    /// A row for the staging table: a value for each of `columns`, of its type.
    private static func add(_ number: Int, _ record: UsageRecord, to rows: inout CopyRows) {
        rows.beginRow()
        rows.add(int4: Int32(clamping: number))
        rows.add(int4: 1)
        rows.add(record.phase.rawValue)
        rows.add(record.requestID)
        rows.add(time: record.createdAt.microseconds)
        rows.add(record.user.raw)
        rows.add(record.key.raw)
        rows.add(record.account.raw)
        rows.add(record.group.raw)
        rows.add(record.model)
        rows.add(record.upstreamModel)
        rows.add(record.dialect.rawValue)
        rows.add(record.isStream)
        rows.add(record.usage.input)
        rows.add(record.usage.output)
        rows.add(record.usage.cacheWrite5m)
        rows.add(record.usage.cacheWrite1h)
        rows.add(record.usage.cacheRead)
        rows.add(record.usage.webSearches)
        rows.add(record.usage.inputMedia.image)
        rows.add(record.usage.inputMedia.audio)
        rows.add(record.usage.outputMedia.image)
        rows.add(record.usage.outputMedia.audio)
        rows.add(record.usage.tier.rawValue)
        rows.add(record.cost.raw)
        rows.add(record.accountCost.raw)
        rows.add(record.multiplier.raw)
        rows.add(record.accountMultiplier.raw)
        rows.add(record.priceVersion)
        rows.add(record.durationMilliseconds)
        rows.add(record.firstTokenMilliseconds)
        rows.add(int4: Int32(clamping: record.status))
        rows.add(record.ip)
        rows.add(record.userAgent)
        rows.add(record.isEstimated)
        rows.add(record.isCacheTTLOverridden)
        rows.add(record.end.rawValue)
        rows.add(record.limits.hasQuota)
        rows.add(record.limits.policy?.version)
        rows.add(record.limits.policy?.resetEpoch)
        rows.add(record.limits.policy?.window)
        rows.add(record.limits.subscription?.id.raw)
        rows.add(record.limits.subscription?.day)
        rows.add(record.limits.subscription?.week)
        rows.add(record.limits.subscription?.month)
    }

    // MARK: Positions

    /// - Returns: also the database's time.
    private static func lockPositions(
        _ partitions: Set<Partition>,
        _ connection: PostgresConnection
    ) async throws -> (known: [Partition: (epoch: String, lastID: StreamID?)], now: Timestamp) {
        let rows = try await connection.query(
            """
            select partition, epoch, last_id, \(SQL.microseconds("now()", as: "now")) from settlement_positions
            where partition = any($1::int[]) order by partition for update
            """,
            [.integers(partitions.map { Int64($0.number) })]
        )
        var known: [Partition: (epoch: String, lastID: StreamID?)] = [:]
        for row in rows {
            guard let partition = Partition(Int(try row.int("partition"))) else { continue }
            known[partition] = (try row.text("epoch"), StreamID(try row.text("last_id")))
        }
        return (known, try rows.first?.time("now") ?? Timestamp.now)
    }

    /// Within an epoch a position only advances; in a new one it starts over.
    private static func advance(
        _ positions: [Position],
        from known: [Partition: (epoch: String, lastID: StreamID?)],
        _ connection: PostgresConnection
    ) async throws {
        let changed = positions.filter { position in
            guard let old = known[position.partition], old.epoch == position.epoch, let last = old.lastID else {
                return true
            }
            return last < position.lastID
        }
        try await connection.executeBatch(
            "update settlement_positions set epoch = $2, last_id = $3, updated_at = now() where partition = $1::int",
            changed.map { [.integer(Int64($0.partition.number)), .text($0.epoch), .text($0.lastID.description)] }
        )
    }

    // MARK: Dead letters

    package static func bury(
        _ item: SettlementItem,
        reason: String,
        _ connection: PostgresConnection
    ) async throws {
        try await bury(
            partition: item.partition.number,
            streamID: item.streamID?.description ?? "",
            record: item.record.encoded,
            reason: reason,
            connection
        )
    }

    /// Puts aside what cannot be settled, once.
    ///
    /// - Parameter partition: −1 where there is none.
    package static func bury(
        partition: Int,
        streamID: String,
        record: [UInt8],
        reason: String,
        _ connection: PostgresConnection
    ) async throws {
        // Postgres' texts cannot hold NUL; what is longer than any record is cut.
        let text = String(decoding: record.prefix(64 * 1024).filter { $0 != 0 }, as: UTF8.self)
        try await connection.execute(
            """
            insert into usage_dead_letter (partition, stream_id, record, reason)
            select $1::int, $2, $3, $4 where not exists (
                select from usage_dead_letter where partition = $1::int and stream_id = $2 and record = $3
            )
            """,
            [.integer(Int64(partition)), .text(streamID), .text(text), .text(reason)]
        )
    }
}

extension PostgresParameter {
    /// A `text[]`.
    static func texts(_ values: [String]) -> Self {
        .text(
            "{"
                + values.map { value in
                    "\"" + value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
                }.joined(separator: ",") + "}"
        )
    }
}
