package import Domain
import Formats
package import Postgres

/// Reads and writes what news of accounts change.
package enum AccountStandingStore {
    /// With the row's lock, so that nobody else applies news meanwhile; nil for an account that is gone.
    package static func find(_ id: AccountID, on connection: PostgresConnection) async throws -> AccountStanding? {
        let rows = try await connection.query(
            """
            select status, error_message, forbidden_type, validation_url, flags, flag_times, recovered_at
            from accounts where id = $1 and deleted_at is null for update
            """,
            [.integer(id.raw)]
        )
        guard let row = rows.first else { return nil }
        let times = try row.json("flag_times").object ?? []
        return AccountStanding(
            status: try row.choice("status"),
            errorMessage: try row.optionalText("error_message"),
            forbiddenType: try row.optionalText("forbidden_type"),
            validationURL: try row.optionalText("validation_url"),
            flags: Dictionary(try flags(row).map { ($0.kind.field, $0) }) { $1 },
            times: Dictionary(times.compactMap { time in time.value.int64.map { (time.key, $0) } }) { $1 },
            recoveredAt: try row.int("recovered_at")
        )
    }

    /// The column `flags`, those that are over included.
    package static func flags(_ row: PostgresRow) throws -> [AccountFlag] {
        try row.textMap("flags").sorted { $0.key < $1.key }.compactMap { AccountFlag(field: $0.key, value: $0.value) }
    }

    /// - Parameter isConfig: whether workers' configuration changes, so that the row needs a new revision.
    package static func update(
        _ id: AccountID,
        to standing: AccountStanding,
        isConfig: Bool,
        on connection: PostgresConnection
    ) async throws {
        let times = standing.times.sorted { $0.key < $1.key }.map { (key: $0.key, value: JSON.int($0.value)) }
        try await connection.execute(
            """
            update accounts set status = $2, error_message = $3, forbidden_type = $4, validation_url = $5,
                flags = $6::jsonb, flag_times = $7::jsonb, recovered_at = $8::bigint
                \(isConfig ? ", revision = nextval('revision_seq'), updated_at = now()" : "")
            where id = $1
            """,
            [
                .integer(id.raw), .text(standing.status.rawValue), .optional(clean(standing.errorMessage)),
                .optional(clean(standing.forbiddenType)), .optional(clean(standing.validationURL)),
                .json(standing.flags.mapValues { clean($0.value) }), .json(.object(times)),
                .integer(standing.recoveredAt),
            ]
        )
    }

    /// Postgres' text and jsonb cannot hold NUL.
    private static func clean(_ text: String) -> String { text.filter { $0 != "\0" } }
    private static func clean(_ text: String?) -> String? { text.map { clean($0) } }
}
