package import Domain
package import Postgres

package enum KeyStatus: String, Sendable, CaseIterable { case active, disabled }

/// What a key is, seen from outside: its own status, or what keeps it from being used.
package enum KeyDisplayStatus: String, Sendable, CaseIterable {
    case active, disabled, expired
    case quotaExhausted = "quota_exhausted"
    /// Paused by its policy.
    case temporarilyDisabled = "temporarily_disabled"
    /// The window in which it was paused is over; it works again with its next call, or in a moment.
    case recovering
}

/// What an admin sets of a key.
package struct KeyDraft: Hashable, Sendable {
    package var name = ""
    package var user: Int64 = 0
    package var group: Int64 = 0
    package var status = KeyStatus.active
    package var quota: NanoUSD?
    package var expiresAt: Timestamp?
    package var ipWhitelist: [String] = []
    package var ipBlacklist: [String] = []
    package var concurrency: Int64 = 0
    package var rpm: Int64 = 0
    package var tpm: Int64 = 0
    package var policy: PolicyDraft?

    package init() {}
}

package struct KeyRecord: Hashable, Sendable {
    package let id: KeyID
    package var fields: KeyDraft
    /// The first characters of the key, by which people tell their keys apart.
    package var prefix: String
    package var quotaUsed: NanoUSD
    package var displayStatus: KeyDisplayStatus
    package var policy: PolicyRecord?
    /// The database's time when it was read.
    package var readAt: Timestamp
    package var lastUsedAt: Timestamp?
    package var revision: Int64
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
}

package enum APIKeyStore {
    /// `KeyDisplayStatus` in SQL, so that a filter and what it shows can never differ.
    static let displayStatus = """
        (case when k.status = 'disabled' then 'disabled' when k.expires_at <= now() then 'expired' \
        when k.quota > 0 and k.quota_used >= k.quota then 'quota_exhausted' \
        when p.exhausted_window_ms is not null and p.exhausted_action = 'disable_key' then \
        (case when p.exhausted_until_ms <= extract(epoch from now()) * 1000 then 'recovering' \
        else 'temporarily_disabled' end) else 'active' end)
        """

    /// Keys with their policies.
    static let source = "api_keys k left join key_policies p on p.key_id = k.id"

    static let columns = """
        k.id, k.name, k.user_id, k.group_id, k.key_prefix, k.status, k.quota, k.quota_used, k.ip_whitelist, \
        k.ip_blacklist, k.concurrency, k.rpm, k.tpm, k.revision, \(displayStatus) as display_status, \(KeyPolicyStore.columns), \
        \(SQL.microseconds("now()", as: "read_at")), \
        \(SQL.microseconds("k.expires_at", as: "expires_at")), \
        \(SQL.microseconds("k.last_used_at", as: "last_used_at")), \
        \(SQL.microseconds("k.created_at", as: "created_at")), \(SQL.microseconds("k.updated_at", as: "updated_at"))
        """

    static func record(_ row: PostgresRow) throws -> KeyRecord {
        var fields = KeyDraft()
        fields.name = try row.text("name")
        fields.user = try row.int("user_id")
        fields.group = try row.int("group_id")
        fields.status = try row.choice("status")
        fields.quota = try row.optionalMoney("quota")
        fields.expiresAt = try row.optionalTime("expires_at")
        fields.ipWhitelist = try row.texts("ip_whitelist")
        fields.ipBlacklist = try row.texts("ip_blacklist")
        fields.concurrency = try row.int("concurrency")
        fields.rpm = try row.int("rpm")
        fields.tpm = try row.int("tpm")
        let policy = try KeyPolicyStore.optionalRecord(row)
        fields.policy = policy?.fields
        return KeyRecord(
            id: KeyID(try row.int("id")),
            fields: fields,
            prefix: try row.text("key_prefix"),
            quotaUsed: try row.money("quota_used"),
            displayStatus: try row.choice("display_status"),
            policy: policy,
            readAt: try row.time("read_at"),
            lastUsedAt: try row.optionalTime("last_used_at"),
            revision: try row.int("revision"),
            createdAt: try row.time("created_at"),
            updatedAt: try row.time("updated_at")
        )
    }

    package static func find(
        _ id: KeyID,
        on connection: PostgresConnection,
        forUpdate: Bool = false
    ) async throws -> KeyRecord? {
        try await connection.query(
            """
            select \(columns) from \(source) where k.id = $1 and k.deleted_at is null\
            \(forUpdate ? " for update of k" : "")
            """,
            [.integer(id.raw)]
        ).first.map { try record($0) }
    }

    private static func parameters(_ draft: KeyDraft) -> [PostgresParameter] {
        [
            .text(draft.name), .integer(draft.group), .text(draft.status.rawValue), .optional(draft.quota),
            .optional(draft.expiresAt), .json(draft.ipWhitelist), .json(draft.ipBlacklist),
            .integer(draft.concurrency), .integer(draft.rpm), .integer(draft.tpm),
        ]
    }

    package static func insert(
        _ draft: KeyDraft,
        hash: String,
        prefix: String,
        on connection: PostgresConnection
    ) async throws -> KeyID {
        let rows = try await connection.query(
            """
            insert into api_keys (name, group_id, status, quota, expires_at, ip_whitelist, ip_blacklist, concurrency,
                rpm, tpm, user_id, key_hash, key_prefix)
            values ($1, $2::bigint, $3, $4::bigint, \(SQL.time("$5")), $6::jsonb, $7::jsonb, $8::int, $9::int,
                $10::int, $11::bigint, $12, $13)
            returning id
            """,
            parameters(draft) + [.integer(draft.user), .text(hash), .text(prefix)]
        )
        guard let row = rows.first else { throw PostgresError.decoding(column: "id") }
        return KeyID(try row.int("id"))
    }

    /// Everything but the user, who never changes: what the key has cost stays in that user's books.
    package static func update(_ id: KeyID, to draft: KeyDraft, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            update api_keys set name = $1, group_id = $2::bigint, status = $3, quota = $4::bigint,
                expires_at = \(SQL.time("$5")), ip_whitelist = $6::jsonb, ip_blacklist = $7::jsonb,
                concurrency = $8::int, rpm = $9::int, tpm = $10::int, revision = nextval('revision_seq'),
                updated_at = now()
            where id = $11
            """,
            parameters(draft) + [.integer(id.raw)]
        )
    }

    /// Gives the key a new secret; id, limits and history stay.
    package static func rotate(
        _ id: KeyID,
        hash: String,
        prefix: String,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            """
            update api_keys set key_hash = $2, key_prefix = $3, revision = nextval('revision_seq'), updated_at = now()
            where id = $1
            """,
            [.integer(id.raw), .text(hash), .text(prefix)]
        )
    }

    package static func resetQuota(_ id: KeyID, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            update api_keys set quota_used = 0, money_seq = money_seq + 1, revision = nextval('revision_seq'),
                updated_at = now()
            where id = $1
            """,
            [.integer(id.raw)]
        )
    }

    package static func delete(_ id: KeyID, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            update api_keys set deleted_at = now(), status = 'disabled', revision = nextval('revision_seq'),
                updated_at = now()
            where id = $1
            """,
            [.integer(id.raw)]
        )
    }
}
