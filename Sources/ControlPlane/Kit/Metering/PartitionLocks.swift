package import Domain
package import Postgres

/// Shares the partitions out among the control planes by session locks in Postgres.
///
/// A settler holds each of its partitions' locks, and one shared lock by which the settlers are counted, on the very
/// connection on which it settles: when that is lost, so are the locks, and no transaction can commit without them.
package struct PartitionLocks {
    /// The first of the two numbers of our session locks; the second is the partition's.
    private static let space: Int64 = 0x7467
    private static let presence: Int64 = Int64(Partition.count)

    package private(set) var owned: Set<Partition> = []

    package init() {}

    /// How many partitions each of so many settlers takes. Pure.
    package static func share(settlers: Int) -> Int {
        (Partition.count + max(1, settlers) - 1) / max(1, settlers)
    }

    package func enter(_ connection: PostgresConnection) async throws {
        try await connection.execute(
            "select pg_advisory_lock_shared($1::int, $2::int)",
            [.integer(Self.space), .integer(Self.presence)]
        )
    }

    /// Takes free partitions up to a fair share, or gives some back.
    ///
    /// - Parameter first: where to begin looking, so that settlers that start together do not race for the same ones.
    package mutating func balance(startingAt first: Int, _ connection: PostgresConnection) async throws {
        let share = Self.share(settlers: try await settlers(connection))
        if owned.count > share {
            let surplus = owned.sorted().suffix(owned.count - share)
            try await connection.execute(
                "select pg_advisory_unlock($1::int, p) from unnest($2::int[]) p",
                [.integer(Self.space), .integers(surplus.map { Int64($0.number) })]
            )
            owned.subtract(surplus)
        } else if owned.count < share {
            let candidates = (0..<Partition.count).compactMap { Partition((first + $0) % Partition.count) }
                .filter { !owned.contains($0) }
            // The limit ends the scan, and with it the locking.
            let rows = try await connection.query(
                """
                select p as partition from unnest($2::int[]) p where pg_try_advisory_lock($1::int, p)
                limit $3
                """,
                [
                    .integer(Self.space), .integers(candidates.map { Int64($0.number) }),
                    .integer(Int64(share - owned.count)),
                ]
            )
            for row in rows {
                if let partition = Partition(Int(try row.int("partition"))) { owned.insert(partition) }
            }
        }
    }

    private func settlers(_ connection: PostgresConnection) async throws -> Int {
        let rows = try await connection.query(
            """
            select count(*) as settlers from pg_locks
            where locktype = 'advisory' and classid = $1::bigint::oid and objid = $2::bigint::oid and objsubid = 2
                and granted and database = (select oid from pg_database where datname = current_database())
            """,
            [.integer(Self.space), .integer(Self.presence)]
        )
        return Int(try rows.first?.int("settlers") ?? 1)
    }
}
