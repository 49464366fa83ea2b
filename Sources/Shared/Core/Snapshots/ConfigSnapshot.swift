package import Crypto
package import Domain

/// All that a worker enforces apart from API keys: one immutable value, replaced whole.
package struct ConfigSnapshot: Hashable, Sendable {
    package var version: SnapshotVersion
    package var publishedAt: Timestamp
    package var groups: [GroupSnapshot]
    package var accounts: [AccountSnapshot]
    package var prices: [ModelPrice]
    package var settings: GatewaySettings
    package var betaPolicy: BetaPolicy
    package var cooldowns: CooldownSettings
    package var security: SecuritySettings

    package init(
        version: SnapshotVersion,
        publishedAt: Timestamp,
        groups: [GroupSnapshot] = [],
        accounts: [AccountSnapshot] = [],
        prices: [ModelPrice] = [],
        settings: GatewaySettings = GatewaySettings(),
        betaPolicy: BetaPolicy = BetaPolicy(),
        cooldowns: CooldownSettings = CooldownSettings(),
        security: SecuritySettings = SecuritySettings()
    ) {
        self.version = version
        self.publishedAt = publishedAt
        self.groups = groups
        self.accounts = accounts
        self.prices = prices
        self.settings = settings
        self.betaPolicy = betaPolicy
        self.cooldowns = cooldowns
        self.security = security
    }
}

package struct GroupSnapshot: Hashable, Sendable {
    package var id: GroupID
    package var revision: Int64
    package var name: String
    package var platform: Platform
    package var isActive: Bool
    package var multiplier: Multiplier
    package var isClaudeCodeOnly: Bool
    package var fallbackGroup: GroupID?
    package var isSubscription: Bool
    /// What each subscription to it may use.
    package var limits: SubscriptionLimits
    package var modelAllowlist: [String]

    package init(
        id: GroupID,
        revision: Int64,
        name: String,
        platform: Platform,
        isActive: Bool = true,
        multiplier: Multiplier = .one,
        isClaudeCodeOnly: Bool = false,
        fallbackGroup: GroupID? = nil,
        isSubscription: Bool = false,
        limits: SubscriptionLimits = SubscriptionLimits(),
        modelAllowlist: [String] = []
    ) {
        self.id = id
        self.revision = revision
        self.name = name
        self.platform = platform
        self.isActive = isActive
        self.multiplier = multiplier
        self.isClaudeCodeOnly = isClaudeCodeOnly
        self.fallbackGroup = fallbackGroup
        self.isSubscription = isSubscription
        self.limits = limits
        self.modelAllowlist = modelAllowlist
    }
}

/// What a subscription may use in the windows that begin with it; nil is no limit.
package struct SubscriptionLimits: Hashable, Sendable {
    package var daily: NanoUSD?
    package var weekly: NanoUSD?
    package var monthly: NanoUSD?

    package init(daily: NanoUSD? = nil, weekly: NanoUSD? = nil, monthly: NanoUSD? = nil) {
        self.daily = daily
        self.weekly = weekly
        self.monthly = monthly
    }
}

/// How an account speaks to its upstream.
package enum UpstreamProtocol: String, Sendable { case auto, http1, h2 }

package struct ProxySnapshot: Hashable, Sendable {
    package var id: ProxyID
    /// `http`, `https` or `socks5`.
    package var scheme: String
    package var host: String
    package var port: Int
    package var username: String?
    /// Sealed under the master key, in `passwordSealingContext`.
    package var sealedPassword: String?

    package init(
        id: ProxyID,
        scheme: String,
        host: String,
        port: Int,
        username: String? = nil,
        sealedPassword: String? = nil
    ) {
        self.id = id
        self.scheme = scheme
        self.host = host
        self.port = port
        self.username = username
        self.sealedPassword = sealedPassword
    }

    package static func passwordSealingContext(of proxy: ProxyID) -> SealingContext {
        SealingContext(kind: "proxy", id: proxy.raw, field: "password")
    }
}

/// An account without its secrets: those have an entry of their own (`CredentialEntry`).
package struct AccountSnapshot: Hashable, Sendable {
    package var id: AccountID
    package var name: String
    package var platform: Platform
    package var type: AccountType
    package var groups: [GroupID]
    package var isActive: Bool
    package var isSchedulable: Bool
    package var expiresAt: Timestamp?
    package var priority: Int
    /// Calls at once; 0 is no limit.
    package var concurrency: Int
    /// Calls a minute; 0 is no limit.
    package var rpm: Int
    package var multiplier: Multiplier
    /// Requested model (with `*` wildcards) → upstream model; empty serves every model under its own name.
    package var modelMapping: [String: String]
    package var headerOverrides: [String: String]
    /// The credential fields that are no secret, such as `base_url` and `region`.
    package var plainCredentials: [String: String]
    package var upstreamProtocol: UpstreamProtocol
    package var proxy: ProxySnapshot?
    /// How its refusals are to be taken.
    package var rules: AccountRules
    /// Whether calls beyond a model's limit may be paid with AI credits.
    package var allowsOverages: Bool
    /// The class in which all of its cache writes count.
    package var cacheTTLOverride: CacheTTL?
    /// What may be spent through it.
    package var quota: AccountQuota

    package init(
        id: AccountID,
        name: String,
        platform: Platform,
        type: AccountType,
        groups: [GroupID],
        isActive: Bool = true,
        isSchedulable: Bool = true,
        expiresAt: Timestamp? = nil,
        priority: Int = 50,
        concurrency: Int = 10,
        rpm: Int = 0,
        multiplier: Multiplier = .one,
        modelMapping: [String: String] = [:],
        headerOverrides: [String: String] = [:],
        plainCredentials: [String: String] = [:],
        upstreamProtocol: UpstreamProtocol = .auto,
        proxy: ProxySnapshot? = nil,
        rules: AccountRules = AccountRules(),
        allowsOverages: Bool = false,
        cacheTTLOverride: CacheTTL? = nil,
        quota: AccountQuota = AccountQuota()
    ) {
        self.id = id
        self.name = name
        self.platform = platform
        self.type = type
        self.groups = groups
        self.isActive = isActive
        self.isSchedulable = isSchedulable
        self.expiresAt = expiresAt
        self.priority = priority
        self.concurrency = concurrency
        self.rpm = rpm
        self.multiplier = multiplier
        self.modelMapping = modelMapping
        self.headerOverrides = headerOverrides
        self.plainCredentials = plainCredentials
        self.upstreamProtocol = upstreamProtocol
        self.proxy = proxy
        self.rules = rules
        self.allowsOverages = allowsOverages
        self.cacheTTLOverride = cacheTTLOverride
        self.quota = quota
    }
}

/// The setting `gateway`: limits and timeouts that an admin may change, with their defaults and bounds.
package struct GatewaySettings: Hashable, Sendable {
    package struct Field: Sendable {
        package let name: String
        package let range: ClosedRange<Int64>
        package let defaultValue: Int64
    }

    package private(set) var values: [String: Int64]

    package static let fields: [Field] = [
        Field(name: "body_limit_bytes", range: 1024...268_435_456, defaultValue: 33_554_432),
        Field(name: "connect_timeout_seconds", range: 1...120, defaultValue: 10),
        Field(name: "first_byte_timeout_seconds", range: 1...3600, defaultValue: 300),
        Field(name: "idle_timeout_seconds", range: 1...3600, defaultValue: 120),
        Field(name: "total_timeout_seconds", range: 1...86_400, defaultValue: 3600),
        Field(name: "failover_deadline_seconds", range: 1...3600, defaultValue: 300),
        Field(name: "max_switches", range: 0...100, defaultValue: 10),
        Field(name: "drain_after_disconnect_seconds", range: 0...600, defaultValue: 60),
        Field(name: "shutdown_drain_seconds", range: 0...3600, defaultValue: 120),
        Field(name: "sticky_wait_milliseconds", range: 0...60_000, defaultValue: 3000),
        Field(name: "queue_wait_seconds", range: 0...600, defaultValue: 30),
        Field(name: "queue_limit", range: 0...10_000, defaultValue: 200),
        Field(name: "unauthorized_pause_minutes", range: 1...1440, defaultValue: 10),
        Field(name: "account_isolation", range: 0...1, defaultValue: 0),
        Field(name: "allow_unpriced_models", range: 0...1, defaultValue: 0),
        Field(name: "trace_memory_mebibytes", range: 0...65_536, defaultValue: 256),
    ]

    package init() {
        values = Dictionary(uniqueKeysWithValues: Self.fields.map { ($0.name, $0.defaultValue) })
    }

    package subscript(_ name: String) -> Int64 { values[name] ?? 0 }

    /// - Returns: whether the name is known and the value within its bounds; only then is it set.
    package mutating func set(_ name: String, _ value: Int64) -> Bool {
        guard let field = Self.fields.first(where: { $0.name == name }), field.range.contains(value) else {
            return false
        }
        values[name] = value
        return true
    }

    package var bodyLimit: Int { Int(self["body_limit_bytes"]) }
    package var connectTimeout: Duration { .seconds(self["connect_timeout_seconds"]) }
    package var firstByteTimeout: Duration { .seconds(self["first_byte_timeout_seconds"]) }
    package var idleTimeout: Duration { .seconds(self["idle_timeout_seconds"]) }
    package var totalTimeout: Duration { .seconds(self["total_timeout_seconds"]) }
    package var failoverDeadline: Duration { .seconds(self["failover_deadline_seconds"]) }
    package var maximumSwitches: Int { Int(self["max_switches"]) }
    package var drainAfterDisconnect: Duration { .seconds(self["drain_after_disconnect_seconds"]) }
    package var shutdownDrain: Duration { .seconds(self["shutdown_drain_seconds"]) }
    package var unauthorizedPause: Duration { .seconds(60 * self["unauthorized_pause_minutes"]) }
    package var isolatesAccounts: Bool { self["account_isolation"] == 1 }
    /// What the traces of calls may take of Redis' memory, in bytes.
    package var traceMemory: Int { Int(self["trace_memory_mebibytes"]) << 20 }
    package var allowsUnpricedModels: Bool { self["allow_unpriced_models"] == 1 }
}
