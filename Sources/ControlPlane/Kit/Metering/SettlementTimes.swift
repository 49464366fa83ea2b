import Domain
import Postgres

/// What becomes of staged records whose time lies so far off, by the database's clock, that their ids alone do not tell
/// whether they are settled: a worker's clock is wrong, or it was off for weeks and hands in its journal.
///
/// The usage log knows what was settled as far back as it goes. Of a time before that, nobody can tell; unless it is one
/// before the database was made, when no call can have been. Whatever nobody has settled is billed; a time that cannot be
/// true becomes the settlement's.
struct SettlementTimes {
    /// The numbers of records that are in the usage log already.
    private(set) var known: [Int64] = []
    /// Of those that nobody can tell of.
    private(set) var unknowable: [Int64] = []
    /// Of those that happened just now, as far as anybody knows.
    private(set) var untimely: [Int64] = []

    /// - Parameters:
    ///   - odd: the numbers of the records in question.
    ///   - replacing: records of these calls replace what is in the log.
    init(of odd: [Int64], replacing: [String], _ connection: PostgresConnection) async throws {
        guard !odd.isEmpty else { return }
        for row in try await connection.query(
            """
            with log as (
                select (select min(applied_at) from schema_migrations) as made,
                    (
                        select min(to_date(right(c.relname, 7), 'YYYY_MM')::timestamp at time zone 'UTC')
                        from pg_inherits i join pg_class c on c.oid = i.inhrelid
                        where i.inhparent = 'usage_records'::regclass
                            and c.relname ~ '^usage_records_[0-9]{4}_[0-9]{2}$'
                    ) as begin
            )
            select t.n,
                coalesce(t.created_at <= now() and t.created_at >= greatest(log.made, log.begin), false) as is_kept,
                coalesce(t.created_at >= log.made and t.created_at < log.begin, false) as is_before_log,
                not t.request_id = any($2::text[])
                    and exists (select from usage_records r where r.request_id = t.request_id) as is_known
            from settlement_staging t, log where t.factor = $1 and t.n = any($3::int[])
            """,
            [1, .texts(replacing), .integers(odd)]
        ) {
            let number = try row.int("n")
            if try row.bool("is_known") {
                known.append(number)
            } else if try row.bool("is_before_log") {
                unknowable.append(number)
            } else if try !row.bool("is_kept") {
                untimely.append(number)
            }
        }
    }
}
