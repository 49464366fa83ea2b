package import Decisions
package import Domain
package import Formats
package import Postgres
package import Snapshots
import Telemetry

/// `inactive` is an admin's doing, `error` an upstream's: only an admin or a successful test call ends it.
package enum AccountStatus: String, Sendable, CaseIterable { case active, inactive, error }

/// What an admin sets of an account, credentials apart.
package struct AccountDraft: Hashable, Sendable {
    package var name = ""
    package var platform = Platform.anthropic
    package var type = AccountType.apikey
    package var status = AccountStatus.active
    package var groups: [Int64] = []
    package var priority: Int64 = 50
    package var concurrency: Int64 = 10
    package var rpm: Int64 = 0
    package var multiplier = Multiplier.one
    package var modelMapping: [String: String] = [:]
    package var headerOverrides: [String: String] = [:]
    package var proxy: Int64?
    package var isSchedulable = true
    package var upstreamProtocol = UpstreamProtocol.auto
    package var expiresAt: Timestamp?
    package var isPoolMode = false
    package var poolRetryCount = Int64(AccountRules.defaultPoolRetryCount)
    package var customErrorCodes: [Int64] = []
    package var pauseRules: [PauseRule] = []
    package var quotaDaily: NanoUSD?
    package var quotaWeekly: NanoUSD?
    package var quotaTotal: NanoUSD?
    package var cacheTTLOverride: CacheTTL?
    package var allowsOverages = false

    package init() {}

    package var quota: AccountQuota { AccountQuota(daily: quotaDaily, weekly: quotaWeekly, total: quotaTotal) }
}

/// An account's credentials at rest: the plain fields, the names of the secret ones, and those sealed.
package struct StoredCredentials: Hashable, Sendable {
    package var plain: [String: String]
    package var sealedFields: [String]
    package var sealed: String
    /// The fence of every write: a write names the version it read.
    package var version: Int64
}

/// How the renewal of an account's tokens goes.
package struct RefreshState: Hashable, Sendable {
    /// The version of the credentials with which a secret was last written; the later ones carry the same secrets.
    package var secretsVersion: Int64 = 1
    package var issuedAt: Timestamp?
    /// The refresh token is of no use any more.
    package var needsSignIn = false
    /// Why the last renewal failed.
    package var error: String?
    package var failures: Int64 = 0
    package var retryAt: Timestamp?

    package init() {}
}

package struct AccountRecord: Hashable, Sendable {
    package let id: AccountID
    package var fields: AccountDraft
    package var credentials: StoredCredentials
    package var refresh = RefreshState()
    package var errorMessage: String?
    package var forbiddenType: String?
    package var validationURL: String?
    /// Those that still last.
    package var flags: [AccountFlag] = []
    package var usage = KnownUsage()
    /// What its quotas count.
    package var spending = AccountSpending()
    package var lastUsedAt: Timestamp?
    /// Calls under way; nil where Redis was not asked.
    package var inFlight: Int64?
    package var revision: Int64
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
}

package enum AccountStore {
    static let columns = """
        a.id, a.name, a.platform, a.type, a.status, a.error_message, a.credentials_sealed, a.credentials_plain, \
        a.credentials_sealed_fields, a.credentials_version, a.priority, a.concurrency, a.rpm, a.multiplier, \
        a.model_mapping, a.header_overrides, a.proxy_id, a.schedulable, a.upstream_protocol, a.pool_mode, \
        a.pool_retry_count, a.custom_error_codes, a.temp_unschedulable_rules, a.quota_daily, a.quota_weekly, \
        a.quota_total, a.cache_ttl_override, a.allow_overages, a.revision, a.forbidden_type, a.validation_url, \
        a.flags, \(AccountUsageStore.known), \(AccountQuotaStore.known), a.secrets_version, a.needs_sign_in, \
        a.refresh_error, a.refresh_failures, \(SQL.microseconds("a.token_issued_at", as: "token_issued_at")), \
        \(SQL.microseconds("a.refresh_retry_at", as: "refresh_retry_at")), \
        \(SQL.microseconds("a.expires_at", as: "expires_at")), \
        \(SQL.microseconds("a.last_used_at", as: "last_used_at")), \
        \(SQL.microseconds("a.created_at", as: "created_at")), \
        \(SQL.microseconds("a.updated_at", as: "updated_at")), \
        (select coalesce(json_agg(ag.group_id order by ag.group_id), '[]') from account_groups ag \
        where ag.account_id = a.id)::text as group_ids
        """

    static func record(_ row: PostgresRow) throws -> AccountRecord {
        var fields = AccountDraft()
        fields.name = try row.text("name")
        fields.platform = Platform(rawValue: try row.text("platform"))
        fields.type = try row.choice("type")
        fields.status = try row.choice("status")
        fields.groups = try row.json("group_ids").array?.compactMap(\.int64) ?? []
        fields.priority = try row.int("priority")
        fields.concurrency = try row.int("concurrency")
        fields.rpm = try row.int("rpm")
        fields.multiplier = try row.multiplier("multiplier")
        fields.modelMapping = try row.textMap("model_mapping")
        fields.headerOverrides = try row.textMap("header_overrides")
        fields.proxy = try row.optionalInt("proxy_id")
        fields.isSchedulable = try row.bool("schedulable")
        fields.upstreamProtocol = try row.choice("upstream_protocol")
        fields.expiresAt = try row.optionalTime("expires_at")
        fields.isPoolMode = try row.bool("pool_mode")
        fields.poolRetryCount = try row.int("pool_retry_count")
        fields.customErrorCodes = try row.json("custom_error_codes").array?.compactMap(\.int64) ?? []
        fields.pauseRules = try row.json("temp_unschedulable_rules").array?.map { PauseRule($0) } ?? []
        fields.quotaDaily = try row.optionalMoney("quota_daily")
        fields.quotaWeekly = try row.optionalMoney("quota_weekly")
        fields.quotaTotal = try row.optionalMoney("quota_total")
        fields.cacheTTLOverride = try row.optionalText("cache_ttl_override").flatMap { CacheTTL(rawValue: $0) }
        fields.allowsOverages = try row.bool("allow_overages")
        var refresh = RefreshState()
        refresh.secretsVersion = try row.int("secrets_version")
        refresh.issuedAt = try row.optionalTime("token_issued_at")
        refresh.needsSignIn = try row.bool("needs_sign_in")
        refresh.error = try row.optionalText("refresh_error")
        refresh.failures = try row.int("refresh_failures")
        refresh.retryAt = try row.optionalTime("refresh_retry_at")
        let now = Timestamp.now
        return AccountRecord(
            id: AccountID(try row.int("id")),
            fields: fields,
            credentials: StoredCredentials(
                plain: try row.textMap("credentials_plain"),
                sealedFields: try row.texts("credentials_sealed_fields"),
                sealed: try row.text("credentials_sealed"),
                version: try row.int("credentials_version")
            ),
            refresh: refresh,
            errorMessage: try row.optionalText("error_message"),
            forbiddenType: try row.optionalText("forbidden_type"),
            validationURL: try row.optionalText("validation_url"),
            flags: try AccountStandingStore.flags(row).filter { $0.isLive(now) },
            usage: try AccountUsageStore.known(row),
            spending: try AccountQuotaStore.known(row),
            lastUsedAt: try row.optionalTime("last_used_at"),
            revision: try row.int("revision"),
            createdAt: try row.time("created_at"),
            updatedAt: try row.time("updated_at")
        )
    }

    package static func find(
        _ id: AccountID,
        on connection: PostgresConnection,
        forUpdate: Bool = false
    ) async throws -> AccountRecord? {
        try await connection.query(
            "select \(columns) from accounts a where a.id = $1 and a.deleted_at is null\(forUpdate ? " for update" : "")",
            [.integer(id.raw)]
        ).first.map { try record($0) }
    }

    /// The id that the next account will have: sealing binds credentials to it before there is a row.
    package static func nextID(on connection: PostgresConnection) async throws -> AccountID {
        let rows = try await connection.query("select nextval(pg_get_serial_sequence('accounts', 'id')) as id")
        guard let row = rows.first else { throw PostgresError.decoding(column: "id") }
        return AccountID(try row.int("id"))
    }

    private static func parameters(_ draft: AccountDraft) -> [PostgresParameter] {
        [
            .text(draft.name), .text(draft.platform.rawValue), .text(draft.type.rawValue),
            .text(draft.status.rawValue), .integer(draft.priority), .integer(draft.concurrency), .integer(draft.rpm),
            .integer(draft.multiplier.raw), .json(draft.modelMapping), .json(draft.headerOverrides),
            .optional(draft.proxy), .bool(draft.isSchedulable), .text(draft.upstreamProtocol.rawValue),
            .optional(draft.expiresAt), .bool(draft.isPoolMode), .integer(draft.poolRetryCount),
            .json(.array(draft.customErrorCodes.map { .int($0) })), .json(.array(draft.pauseRules.map(\.json))),
            .optional(draft.quotaDaily), .optional(draft.quotaWeekly), .optional(draft.quotaTotal),
            .optional(draft.cacheTTLOverride?.rawValue), .bool(draft.allowsOverages),
        ]
    }

    package static func insert(
        _ id: AccountID,
        _ draft: AccountDraft,
        _ credentials: StoredCredentials,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            """
            insert into accounts (name, platform, type, status, priority, concurrency, rpm, multiplier, model_mapping,
                header_overrides, proxy_id, schedulable, upstream_protocol, expires_at, pool_mode, pool_retry_count,
                custom_error_codes, temp_unschedulable_rules, quota_daily, quota_weekly, quota_total,
                cache_ttl_override, allow_overages, id, credentials_sealed, credentials_plain,
                credentials_sealed_fields, credentials_version, secrets_version)
            overriding system value
            values ($1, $2, $3, $4, $5::int, $6::int, $7::int, $8::bigint, $9::jsonb, $10::jsonb, $11::bigint,
                $12::boolean, $13, \(SQL.time("$14")), $15::boolean, $16::int, $17::jsonb, $18::jsonb, $19::bigint,
                $20::bigint, $21::bigint, $22, $23::boolean, $24::bigint, $25, $26::jsonb, $27::jsonb, $28::bigint,
                $28::bigint)
            """,
            parameters(draft) + [
                .integer(id.raw), .text(credentials.sealed), .json(credentials.plain), .json(credentials.sealedFields),
                .integer(credentials.version),
            ]
        )
        try await setGroups(of: id, to: draft.groups, on: connection)
    }

    /// Writes all but credentials. An account that is active needs no sign-in: what becomes so may have its tokens renewed.
    package static func update(
        _ id: AccountID,
        to draft: AccountDraft,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            """
            update accounts set name = $1, platform = $2, type = $3, status = $4, priority = $5::int,
                concurrency = $6::int, rpm = $7::int, multiplier = $8::bigint, model_mapping = $9::jsonb,
                header_overrides = $10::jsonb, proxy_id = $11::bigint, schedulable = $12::boolean,
                upstream_protocol = $13, expires_at = \(SQL.time("$14")), pool_mode = $15::boolean,
                pool_retry_count = $16::int, custom_error_codes = $17::jsonb, temp_unschedulable_rules = $18::jsonb,
                quota_daily = $19::bigint, quota_weekly = $20::bigint, quota_total = $21::bigint,
                cache_ttl_override = $22, allow_overages = $23::boolean,
                error_message = case when $4 = 'error' then error_message end,
                forbidden_type = case when $4 = 'error' then forbidden_type end,
                validation_url = case when $4 = 'error' then validation_url end,
                needs_sign_in = needs_sign_in and $4 <> 'active',
                refresh_failures = case when needs_sign_in and $4 = 'active' then 0 else refresh_failures end,
                refresh_retry_at = case when not needs_sign_in or $4 <> 'active' then refresh_retry_at end,
                revision = nextval('revision_seq'), updated_at = now()
            where id = $24
            """,
            parameters(draft) + [.integer(id.raw)]
        )
        try await setGroups(of: id, to: draft.groups, on: connection)
    }

    /// Writes credentials if they still have the version that the new ones were made from.
    ///
    /// - Parameter hasNewSecrets: whether any secret differs: what was known of the old ones' renewal is forgotten then.
    /// - Returns: false when somebody else wrote them meanwhile; then nothing has changed.
    package static func replaceCredentials(
        of id: AccountID,
        with credentials: StoredCredentials,
        ifVersion expected: Int64,
        hasNewSecrets: Bool,
        on connection: PostgresConnection
    ) async throws -> Bool {
        try await connection.execute(
            """
            update accounts set credentials_sealed = $3, credentials_plain = $4::jsonb,
                credentials_sealed_fields = $5::jsonb, credentials_version = credentials_version + 1,
                secrets_version = case when $6::boolean then credentials_version + 1 else secrets_version end,
                token_issued_at = case when not $6 then token_issued_at end,
                needs_sign_in = needs_sign_in and not $6,
                refresh_error = case when not $6 then refresh_error end,
                refresh_failures = case when $6 then 0 else refresh_failures end,
                refresh_retry_at = case when not $6 then refresh_retry_at end,
                revision = nextval('revision_seq'), updated_at = now()
            where id = $1 and credentials_version = $2
            """,
            [
                .integer(id.raw), .integer(expected), .text(credentials.sealed), .json(credentials.plain),
                .json(credentials.sealedFields), .bool(hasNewSecrets),
            ]
        ) == 1
    }

    private static func setGroups(
        of id: AccountID,
        to groups: [Int64],
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            "delete from account_groups where account_id = $1 and not (group_id = any($2::bigint[]))",
            [.integer(id.raw), .integers(groups)]
        )
        try await connection.execute(
            """
            insert into account_groups (account_id, group_id) select $1, unnest($2::bigint[])
            on conflict do nothing
            """,
            [.integer(id.raw), .integers(groups)]
        )
    }

    package static func delete(_ id: AccountID, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            update accounts set deleted_at = now(), status = 'inactive', revision = nextval('revision_seq'),
                updated_at = now()
            where id = $1
            """,
            [.integer(id.raw)]
        )
        try await connection.execute("delete from account_groups where account_id = $1", [.integer(id.raw)])
    }
}

extension PauseRule {
    init(_ json: JSON) {
        self.init(
            status: json["status"]?.int64 ?? 0,
            keywords: json["keywords"]?.array?.compactMap(\.string) ?? [],
            minutes: json["minutes"]?.int64 ?? 0
        )
    }

    package var json: JSON {
        [
            "status": .int(status), "keywords": .array(keywords.map { .string($0) }), "minutes": .int(minutes),
        ]
    }
}
