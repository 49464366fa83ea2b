package import Domain
import Formats
package import Postgres

/// The monthly partitions of the usage log.
package enum UsagePartitions {
    /// One month's partition: its table, and from when until when.
    package struct Month: Hashable, Sendable {
        package let table: String
        package let from: String
        package let until: String
    }

    /// By the database's clock: those of the machines that ask may differ.
    package static func now(in pool: PostgresPool) async throws -> Timestamp {
        guard let row = try await pool.query("select \(SQL.microseconds("now()", as: "now"))").first else {
            throw PostgresError.decoding(column: "now")
        }
        return try row.time("now")
    }

    /// The month of `now` and those after it. Pure.
    package static func months(from now: Timestamp, count: Int) -> [Month] {
        let today = CivilDate(microsecondsSinceEpoch: now.microseconds)
        let first = CivilDate(year: today.year, month: today.month, day: 1)
        return (0..<count).map { offset in
            let start = first.adding(months: offset)
            let end = first.adding(months: offset + 1)
            return Month(
                table: "usage_records_\(pad(start.year, 4))_\(pad(start.month, 2))",
                from: day(start),
                until: day(end)
            )
        }
    }

    /// Makes the partitions of this month and the three after it, where they are missing. Meant for the start and for
    /// a timer: records of a month without a partition go to the default one, and are moved from there when it is made.
    package static func ensure(now: Timestamp, in pool: PostgresPool) async throws {
        for month in months(from: now, count: 4) {
            try await pool.withTransaction { connection in
                try await connection.execute(
                    "select pg_advisory_xact_lock($1)",
                    [.integer(AdvisoryLock.partitions)]
                )
                let known = try await connection.query(
                    "select to_regclass($1)::text as name",
                    [.text(month.table)]
                )
                guard try known.first?.isNull("name") ?? true else { return }
                try await connection.runScript(script(month))
            }
        }
    }

    /// Drops the months that are kept no longer, each whole, and what policies have had in them.
    ///
    /// - Parameter count: of whole months before the present one.
    package static func drop(now: Timestamp, keeping count: Int, in pool: PostgresPool) async throws {
        let today = CivilDate(microsecondsSinceEpoch: now.microseconds)
        let oldest = CivilDate(year: today.year, month: today.month, day: 1).adding(months: -count)
        let tables = try await pool.query(
            """
            select c.relname::text as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'usage_records'::regclass and c.relname ~ '^usage_records_[0-9]{4}_[0-9]{2}$'
                and c.relname < $1 order by c.relname
            """,
            [.text("usage_records_\(pad(oldest.year, 4))_\(pad(oldest.month, 2))")]
        ).map { try $0.text("name") }
        for table in tables {
            try await pool.withTransaction { connection in
                // Readers and settlements must not queue behind it.
                try await connection.execute("set local lock_timeout = '2s'")
                try await connection.runScript("drop table if exists \(table)")
            }
        }
        let end: [PostgresParameter] = [.text(day(oldest))]
        try await pool.execute("delete from usage_records_default where created_at < $1::text::timestamptz", end)
        try await pool.execute("delete from policy_events where created_at < $1::text::timestamptz", end)
    }

    /// A partition cannot be added while the default one holds rows of its range, so those move in first.
    private static func script(_ month: Month) -> String {
        """
        create table \(month.table) (like usage_records including defaults);
        with moved as (
            delete from usage_records_default
            where created_at >= '\(month.from)' and created_at < '\(month.until)' returning *
        )
        insert into \(month.table) select * from moved;
        alter table usage_records attach partition \(month.table)
            for values from ('\(month.from)') to ('\(month.until)');
        """
    }

    private static func day(_ date: CivilDate) -> String {
        "\(pad(date.year, 4))-\(pad(date.month, 2))-\(pad(date.day, 2)) 00:00:00+00"
    }

    private static func pad(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
