package import Domain
package import Postgres

package enum GroupStatus: String, Sendable, CaseIterable { case active, inactive }

/// What an admin sets of a group.
package struct GroupDraft: Hashable, Sendable {
    package var name = ""
    package var platform = Platform.anthropic
    package var status = GroupStatus.active
    package var multiplier = Multiplier.one
    /// Nil puts a new group last.
    package var sortOrder: Int64?
    package var isClaudeCodeOnly = false
    package var fallbackGroup: Int64?
    package var isSubscription = false
    package var dailyLimit: NanoUSD?
    package var weeklyLimit: NanoUSD?
    package var monthlyLimit: NanoUSD?
    package var modelAllowlist: [String] = []
    /// Whether users may bind their own keys to it.
    package var isOpen = false

    package init() {}
}

package struct GroupRecord: Hashable, Sendable {
    package let id: GroupID
    package var fields: GroupDraft
    package var revision: Int64
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
}

package enum GroupStore {
    static let columns = """
        g.id, g.name, g.platform, g.status, g.multiplier, g.sort_order, g.claude_code_only, g.fallback_group_id, \
        g.subscription, g.daily_limit, g.weekly_limit, g.monthly_limit, g.model_allowlist, g.open, g.revision, \
        \(SQL.microseconds("g.created_at", as: "created_at")), \(SQL.microseconds("g.updated_at", as: "updated_at"))
        """

    static func record(_ row: PostgresRow) throws -> GroupRecord {
        var fields = GroupDraft()
        fields.name = try row.text("name")
        fields.platform = Platform(rawValue: try row.text("platform"))
        fields.status = try row.choice("status")
        fields.multiplier = try row.multiplier("multiplier")
        fields.sortOrder = try row.int("sort_order")
        fields.isClaudeCodeOnly = try row.bool("claude_code_only")
        fields.fallbackGroup = try row.optionalInt("fallback_group_id")
        fields.isSubscription = try row.bool("subscription")
        fields.dailyLimit = try row.optionalMoney("daily_limit")
        fields.weeklyLimit = try row.optionalMoney("weekly_limit")
        fields.monthlyLimit = try row.optionalMoney("monthly_limit")
        fields.modelAllowlist = try row.texts("model_allowlist")
        fields.isOpen = try row.bool("open")
        return GroupRecord(
            id: GroupID(try row.int("id")),
            fields: fields,
            revision: try row.int("revision"),
            createdAt: try row.time("created_at"),
            updatedAt: try row.time("updated_at")
        )
    }

    package static func find(
        _ id: GroupID,
        on connection: PostgresConnection,
        forUpdate: Bool = false
    ) async throws -> GroupRecord? {
        try await connection.query(
            "select \(columns) from groups g where g.id = $1 and g.deleted_at is null\(forUpdate ? " for update" : "")",
            [.integer(id.raw)]
        ).first.map { try record($0) }
    }

    /// Those of the groups that exist.
    package static func find(_ ids: [Int64], on connection: PostgresConnection) async throws -> [GroupRecord] {
        try await connection.query(
            "select \(columns) from groups g where g.id = any($1::bigint[]) and g.deleted_at is null",
            [.integers(ids)]
        ).map { try record($0) }
    }

    private static func parameters(_ draft: GroupDraft) -> [PostgresParameter] {
        [
            .text(draft.name), .text(draft.platform.rawValue), .text(draft.status.rawValue),
            .integer(draft.multiplier.raw), .optional(draft.sortOrder), .bool(draft.isClaudeCodeOnly),
            .optional(draft.fallbackGroup), .bool(draft.isSubscription), .optional(draft.dailyLimit),
            .optional(draft.weeklyLimit), .optional(draft.monthlyLimit), .json(draft.modelAllowlist),
            .bool(draft.isOpen),
        ]
    }

    package static func insert(_ draft: GroupDraft, on connection: PostgresConnection) async throws -> GroupID {
        let rows = try await connection.query(
            """
            insert into groups (name, platform, status, multiplier, sort_order, claude_code_only, fallback_group_id,
                subscription, daily_limit, weekly_limit, monthly_limit, model_allowlist, open)
            values ($1, $2, $3, $4::bigint,
                coalesce($5::int, (select coalesce(max(sort_order), 0) + 1 from groups where deleted_at is null)),
                $6::boolean, $7::bigint, $8::boolean, $9::bigint, $10::bigint, $11::bigint, $12::jsonb, $13::boolean)
            returning id
            """,
            parameters(draft)
        )
        guard let row = rows.first else { throw PostgresError.decoding(column: "id") }
        return GroupID(try row.int("id"))
    }

    package static func update(
        _ id: GroupID,
        to draft: GroupDraft,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            """
            update groups set name = $1, platform = $2, status = $3, multiplier = $4::bigint,
                sort_order = coalesce($5::int, sort_order), claude_code_only = $6::boolean,
                fallback_group_id = $7::bigint, subscription = $8::boolean, daily_limit = $9::bigint,
                weekly_limit = $10::bigint, monthly_limit = $11::bigint, model_allowlist = $12::jsonb,
                open = $13::boolean, revision = nextval('revision_seq'), updated_at = now()
            where id = $14
            """,
            parameters(draft) + [.integer(id.raw)]
        )
    }

    /// Returns whether the group was there.
    package static func setSortOrder(
        _ id: GroupID,
        _ order: Int64,
        on connection: PostgresConnection
    ) async throws -> Bool {
        try await connection.execute(
            """
            update groups set sort_order = $2::int, revision = nextval('revision_seq'), updated_at = now()
            where id = $1 and deleted_at is null
            """,
            [.integer(id.raw), .integer(order)]
        ) == 1
    }

    package static func delete(_ id: GroupID, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            update groups set deleted_at = now(), status = 'inactive', revision = nextval('revision_seq'),
                updated_at = now()
            where id = $1
            """,
            [.integer(id.raw)]
        )
    }

    package struct Uses: Sendable {
        package let keys: Int64
        package let accounts: Int64
        package let fallbacks: Int64
    }

    /// What still needs the group.
    package static func uses(of id: GroupID, on connection: PostgresConnection) async throws -> Uses {
        let rows = try await connection.query(
            """
            select (select count(*) from api_keys where group_id = $1 and deleted_at is null) as keys,
                (select count(*) from account_groups join accounts a on a.id = account_id
                    where group_id = $1 and a.deleted_at is null) as accounts,
                (select count(*) from groups where fallback_group_id = $1 and deleted_at is null) as fallbacks
            """,
            [.integer(id.raw)]
        )
        guard let row = rows.first else { return Uses(keys: 0, accounts: 0, fallbacks: 0) }
        return Uses(
            keys: try row.int("keys"),
            accounts: try row.int("accounts"),
            fallbacks: try row.int("fallbacks")
        )
    }
}
