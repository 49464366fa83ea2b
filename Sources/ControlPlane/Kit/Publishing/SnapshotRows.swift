package import Domain
import Formats
package import Postgres
package import Snapshots

/// Reads what snapshots are made of.
package enum SnapshotRows {
    package static func databaseEpoch(_ connection: PostgresConnection) async throws -> Int64 {
        guard let row = try await connection.query("select epoch from database_epoch").first else { return 1 }
        return try row.int("epoch")
    }

    /// The highest revision of anything in the configuration, deleted rows included. Changes commit in the order of
    /// their revisions (`ChangeNotifier`), so nothing below it is still to come.
    package static func configRevision(_ connection: PostgresConnection) async throws -> Int64 {
        let rows = try await connection.query(
            """
            select greatest(
                (select max(revision) from groups), (select max(revision) from accounts),
                (select max(revision) from proxies), (select max(revision) from prices),
                (select max(revision) from settings), 0
            ) as revision
            """
        )
        return try rows.first?.int("revision") ?? 0
    }

    // MARK: Configuration

    package static func groups(_ connection: PostgresConnection) async throws -> [GroupRow] {
        try await connection.query(
            """
            select id, revision, name, platform, status = 'active' as active, multiplier, claude_code_only,
                fallback_group_id, subscription, daily_limit, weekly_limit, monthly_limit, model_allowlist, deleted_at is not null as deleted
            from groups order by sort_order, id
            """
        ).map { row in
            GroupRow(
                snapshot: GroupSnapshot(
                    id: GroupID(try row.int("id")),
                    revision: try row.int("revision"),
                    name: try row.text("name"),
                    platform: Platform(rawValue: try row.text("platform")),
                    isActive: try row.bool("active"),
                    multiplier: try row.multiplier("multiplier"),
                    isClaudeCodeOnly: try row.bool("claude_code_only"),
                    fallbackGroup: try row.optionalInt("fallback_group_id").map { GroupID($0) },
                    isSubscription: try row.bool("subscription"),
                    limits: SubscriptionLimits(
                        daily: try row.optionalMoney("daily_limit"),
                        weekly: try row.optionalMoney("weekly_limit"),
                        monthly: try row.optionalMoney("monthly_limit")
                    ),
                    modelAllowlist: try row.list("model_allowlist")
                ),
                isDeleted: try row.bool("deleted")
            )
        }
    }

    package static func accounts(_ connection: PostgresConnection) async throws -> [AccountRow] {
        try await connection.query(
            """
            select a.id, a.name, a.platform, a.type, a.status = 'active' as active, a.schedulable, a.priority,
                a.concurrency, a.rpm, a.multiplier, a.model_mapping, a.header_overrides, a.credentials_plain,
                a.upstream_protocol, a.proxy_id, a.pool_mode, a.pool_retry_count, a.custom_error_codes,
                a.temp_unschedulable_rules, a.allow_overages, a.cache_ttl_override, a.quota_daily, a.quota_weekly,
                a.quota_total, \(SQL.microseconds("a.expires_at", as: "expires_at")),
                (select coalesce(json_agg(g.group_id order by g.group_id), '[]') from account_groups g
                 where g.account_id = a.id)::text as groups
            from accounts a where a.deleted_at is null order by a.id
            """
        ).map { row in
            AccountRow(
                snapshot: AccountSnapshot(
                    id: AccountID(try row.int("id")),
                    name: try row.text("name"),
                    platform: Platform(rawValue: try row.text("platform")),
                    type: try row.choice("type"),
                    groups: try row.json("groups").array?.compactMap(\.int64).map { GroupID($0) } ?? [],
                    isActive: try row.bool("active"),
                    isSchedulable: try row.bool("schedulable"),
                    expiresAt: try row.optionalTime("expires_at"),
                    priority: Int(try row.int("priority")),
                    concurrency: Int(try row.int("concurrency")),
                    rpm: Int(try row.int("rpm")),
                    multiplier: try row.multiplier("multiplier"),
                    modelMapping: try row.textMap("model_mapping"),
                    headerOverrides: try row.textMap("header_overrides"),
                    plainCredentials: try row.textMap("credentials_plain").filter { !signInFields.contains($0.key) },
                    upstreamProtocol: try row.choice("upstream_protocol"),
                    rules: AccountRules(
                        isPoolMode: try row.bool("pool_mode"),
                        poolRetryCount: Int(try row.int("pool_retry_count")),
                        customErrorCodes: try row.json("custom_error_codes").array?.compactMap(\.int) ?? [],
                        pauseRules: try row.json("temp_unschedulable_rules").array?.map { PauseRule($0) } ?? []
                    ),
                    allowsOverages: try row.bool("allow_overages"),
                    cacheTTLOverride: try row.optionalText("cache_ttl_override").flatMap { CacheTTL(rawValue: $0) },
                    quota: AccountQuota(
                        daily: try row.optionalMoney("quota_daily"),
                        weekly: try row.optionalMoney("quota_weekly"),
                        total: try row.optionalMoney("quota_total")
                    )
                ),
                proxy: try row.optionalInt("proxy_id").map { ProxyID($0) }
            )
        }
    }

    /// Plain fields that only the control plane needs. A renewed token changes `expires_at`, which stands in the
    /// credentials' own entry, so that nothing else is published again.
    private static let signInFields: Set<String> = ["expires_at", "token_url", "client_id", "email"]

    package static func proxies(_ connection: PostgresConnection) async throws -> [ProxySnapshot] {
        try await connection.query(
            "select id, protocol, host, port, username, password_sealed from proxies where deleted_at is null"
        ).map { row in
            ProxySnapshot(
                id: ProxyID(try row.int("id")),
                scheme: try row.text("protocol"),
                host: try row.text("host"),
                port: Int(try row.int("port")),
                username: try row.optionalText("username"),
                sealedPassword: try row.optionalText("password_sealed")
            )
        }
    }

    package static func prices(_ connection: PostgresConnection) async throws -> [ModelPrice] {
        try await connection.query(
            "select \(PriceStore.columns) from prices p where p.deleted_at is null order by p.model, p.match"
        ).map { try PriceStore.record($0).price }
    }

    // MARK: Keys

    /// Which keys to read.
    package enum KeyChoice {
        case ids([KeyID])
        case users([UserID])
        case hash(String)
        case all

        package var isWholeUsers: Bool { if case .users = self { true } else { false } }
    }

    private static let keyColumns = """
        k.id, k.key_hash, k.revision, k.user_id, u.revision as user_revision, k.group_id, \
        k.status = 'active' as active, u.status = 'active' and u.deleted_at is null as user_active, \
        k.ip_whitelist, k.ip_blacklist, k.concurrency, u.concurrency as user_concurrency, k.rpm, k.tpm, \
        u.rpm as user_rpm, k.quota, k.deleted_at is not null as deleted, \(KeyPolicyStore.columns), \
        (select coalesce(json_agg(json_build_object('id', s.id, 'group', s.group_id, \
            'from', (extract(epoch from s.starts_at) * 1000)::bigint, \
            'to', (extract(epoch from s.expires_at) * 1000)::bigint) order by s.id), '[]') \
         from subscriptions s where s.user_id = k.user_id and s.deleted_at is null \
            and s.status = 'active' and s.expires_at > now())::text as subscriptions, \
        \(SQL.microseconds("k.expires_at", as: "expires_at"))
        """

    /// The next keys by id, deleted ones included where they are asked for by id or user.
    package static func keys(
        _ choice: KeyChoice,
        after last: KeyID = KeyID(0),
        limit: Int,
        _ connection: PostgresConnection
    ) async throws -> [KeyRow] {
        let (condition, parameter): (String, PostgresParameter?) =
            switch choice {
            case .ids(let ids): ("k.id = any($3::bigint[])", .integers(ids.map(\.raw)))
            case .users(let ids): ("k.user_id = any($3::bigint[])", .integers(ids.map(\.raw)))
            case .hash(let hash): ("k.key_hash = $3 and k.deleted_at is null", .text(hash))
            case .all: ("k.deleted_at is null", nil)
            }
        return try await connection.query(
            """
            select \(keyColumns) from api_keys k join users u on u.id = k.user_id
                left join key_policies p on p.key_id = k.id
            where \(condition) and k.id > $1 order by k.id limit $2
            """,
            [.integer(last.raw), .integer(Int64(limit))] + (parameter.map { [$0] } ?? [])
        ).map { row in
            KeyRow(
                snapshot: KeySnapshot(
                    id: KeyID(try row.int("id")),
                    hash: try row.text("key_hash"),
                    revision: try row.int("revision"),
                    user: UserID(try row.int("user_id")),
                    userRevision: try row.int("user_revision"),
                    group: GroupID(try row.int("group_id")),
                    isActive: try row.bool("active"),
                    isUserActive: try row.bool("user_active"),
                    expiresAt: try row.optionalTime("expires_at"),
                    ipWhitelist: try row.list("ip_whitelist"),
                    ipBlacklist: try row.list("ip_blacklist"),
                    concurrency: Int(try row.int("concurrency")),
                    userConcurrency: Int(try row.int("user_concurrency")),
                    rpm: Int(try row.int("rpm")),
                    tpm: Int(try row.int("tpm")),
                    userRPM: Int(try row.int("user_rpm")),
                    quota: try row.optionalMoney("quota"),
                    policy: try KeyPolicyStore.optionalRecord(row)?.rule,
                    subscriptions: try subscriptions(row)
                ),
                isDeleted: try row.bool("deleted")
            )
        }
    }

    private static func subscriptions(_ row: PostgresRow) throws -> [SubscriptionSnapshot] {
        guard try row.text("subscriptions") != "[]" else { return [] }
        return try row.json("subscriptions").array?.compactMap { json in
            guard let id = json["id"]?.int64, let group = json["group"]?.int64, let from = json["from"]?.int64,
                let to = json["to"]?.int64
            else { return nil }
            return SubscriptionSnapshot(
                id: SubscriptionID(id),
                group: GroupID(group),
                startsAt: Timestamp(microseconds: from * 1000),
                expiresAt: Timestamp(microseconds: to * 1000)
            )
        } ?? []
    }

    package static func userRevisions(
        _ users: [UserID],
        _ connection: PostgresConnection
    ) async throws -> [(user: UserID, revision: Int64)] {
        try await connection.query(
            "select id, revision from users where id = any($1::bigint[])",
            [.integers(users.map(\.raw))]
        ).map { (UserID(try $0.int("id")), try $0.int("revision")) }
    }

    // MARK: Credentials

    package static func credentials(
        of accounts: [AccountID],
        _ connection: PostgresConnection
    ) async throws -> [CredentialRow] {
        try await connection.query(
            """
            select id, credentials_version, secrets_version, credentials_plain ->> 'expires_at' as expires_at,
                credentials_sealed, deleted_at is not null as deleted from accounts
            where id = any($1::bigint[])
            """,
            [.integers(accounts.map(\.raw))]
        ).map { row in
            CredentialRow(
                account: AccountID(try row.int("id")),
                version: try row.int("credentials_version"),
                secretsVersion: try row.int("secrets_version"),
                expiresAt: try row.optionalText("expires_at").flatMap { Timestamp(rfc3339: $0) },
                sealed: try row.text("credentials_sealed"),
                isDeleted: try row.bool("deleted")
            )
        }
    }

    /// Their entries are removed again and again for a while: an older publication may have been under way.
    package static func recentlyDeletedAccounts(_ connection: PostgresConnection) async throws -> [AccountID] {
        try await connection.query("select id from accounts where deleted_at > now() - interval '10 minutes'")
            .map { AccountID(try $0.int("id")) }
    }

    package static func credentialVersions(
        _ connection: PostgresConnection
    ) async throws -> [(account: AccountID, version: Int64)] {
        try await connection.query(
            "select id, credentials_version from accounts where deleted_at is null order by id"
        ).map { (AccountID(try $0.int("id")), try $0.int("credentials_version")) }
    }
}

extension PostgresRow {
    /// An array of texts; most are empty, and a hundred thousand keys are read in a row.
    fileprivate func list(_ column: String) throws -> [String] {
        try text(column) == "[]" ? [] : texts(column)
    }
}
