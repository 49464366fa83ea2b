package import Crypto
import Formats
package import Postgres
package import Redis
package import Telemetry

/// What the routes work with.
package struct AdminContext {
    package let pool: PostgresPool
    package let changes: ChangeNotifier
    package let passwords: PasswordHasher
    package let masterKeys: MasterKeyRing
    /// The way to upstreams.
    package let upstream: UpstreamClient
    package let usage: UsageProber
    package let log: Log
    /// The operator's clients at the platforms' sign-ins.
    package var oauth = OAuthClients()
    /// Renews tokens; nil where there is nothing to renew them with.
    package var refresher: RefreshRunner?
    /// Where workers leave what is only looked at.
    package var redis: RedisClient?

    package init(
        pool: PostgresPool,
        changes: ChangeNotifier,
        passwords: PasswordHasher,
        masterKeys: MasterKeyRing,
        upstream: UpstreamClient,
        usage: UsageProber,
        log: Log
    ) {
        self.pool = pool
        self.changes = changes
        self.passwords = passwords
        self.masterKeys = masterKeys
        self.upstream = upstream
        self.usage = usage
        self.log = log
    }

    /// The whole table of the admin API.
    package var routes: [Route] {
        AuthRoutes(self).routes + UserRoutes(self).routes + GroupRoutes(self).routes + AccountRoutes(self).routes
            + SignInRoutes(self).routes
            + KeyRoutes(self).routes + PriceRoutes(self).routes + ProxyRoutes(self).routes
            + SettingsRoutes(self).routes + UsageRoutes(self).routes + AuditRoutes(self).routes
            + AccountUsageRoutes(self).routes + AccountTestRoutes(self).routes + SubscriptionRoutes(self).routes
            + TraceRoutes(self).routes + OwnKeyRoutes(self).routes + ProfileRoutes(self).routes
    }
}

extension Form {
    /// Reads a body for creation, or throws every fault.
    func draft(from body: JSON, startingWith empty: Draft, check: (Draft) -> [FieldFault] = { _ in [] }) throws -> Draft
    {
        try filled(empty, from: body, for: .create, check: check)
    }

    /// Reads a merge patch onto the row as it is, or throws every fault.
    func patched(_ current: Draft, with body: JSON, check: (Draft) -> [FieldFault] = { _ in [] }) throws -> Draft {
        try filled(current, from: body, for: .patch, check: check)
    }

    private func filled(
        _ start: Draft,
        from body: JSON,
        for purpose: Purpose,
        check: (Draft) -> [FieldFault]
    ) throws -> Draft {
        var draft = start
        var faults = fill(&draft, from: body, for: purpose)
        let known = Set(faults.map(\.field))
        faults += check(draft).filter { !known.contains($0.field) }
        if !faults.isEmpty { throw Problem.invalid(faults) }
        return draft
    }
}
