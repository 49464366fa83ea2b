package import Decisions
package import Domain
package import HTTPFetching
package import Providers
package import Snapshots

/// A configuration snapshot made ready for serving: looked up instead of searched, parsed once instead of per call.
package final class GatewayConfig: Sendable {
    package let snapshot: ConfigSnapshot
    package let prices: PriceList
    package let settings: ServingSettings
    package let trustedProxies: [AddressRange]
    /// Nil where no page of another origin is let in.
    package let cors: CORSPolicy?
    private let groups: [GroupID: ServingGroup]

    package init(_ snapshot: ConfigSnapshot) {
        self.snapshot = snapshot
        let prices = PriceList(snapshot.prices)
        self.prices = prices
        settings = ServingSettings(snapshot.settings)
        trustedProxies = snapshot.security.trustedProxies.compactMap { AddressRange($0) }
        cors = CORSPolicy(snapshot.security.corsOrigins)
        let groups = Dictionary(snapshot.groups.map { ($0.id, $0) }) { $1 }
        var accounts: [GroupID: [ServingAccount]] = [:]
        for account in snapshot.accounts {
            guard let serving = ServingAccount(account, snapshot.betaPolicy) else { continue }
            for group in account.groups where groups[group]?.platform == account.platform {
                accounts[group, default: []].append(serving)
            }
        }
        self.groups = groups.mapValues { ServingGroup($0, accounts: accounts[$0.id] ?? [], prices) }
    }

    package var version: SnapshotVersion { snapshot.version }

    package func group(_ id: GroupID) -> ServingGroup? { groups[id] }
}

/// A group with the accounts that its calls can be sent to at all.
package final class ServingGroup: Sendable {
    package let snapshot: GroupSnapshot
    package let accounts: [ServingAccount]
    /// The field of its revision in every partition, and the revision.
    package let revisionField: String
    /// The highest price factor of its accounts: which of them will answer is not known when a call is admitted.
    package let highestMultiplier: Multiplier
    package let revision: String
    let prices: PriceList

    package var id: GroupID { snapshot.id }

    package func hasUsableAccount(now: Timestamp) -> Bool { accounts.contains { $0.isUsable(now: now) } }

    init(_ snapshot: GroupSnapshot, accounts: [ServingAccount], _ prices: PriceList) {
        self.snapshot = snapshot
        self.prices = prices
        self.accounts = accounts
        highestMultiplier = accounts.map(\.snapshot.multiplier).max { $0.raw < $1.raw } ?? .one
        revisionField = "g\(snapshot.id)"
        revision = String(snapshot.revision)
    }
}

/// An account as the relay uses it.
package final class ServingAccount: Sendable {
    package let snapshot: AccountSnapshot
    package let mapping: ModelMapping
    package let provider: any Provider
    package let target: UpstreamTarget
    package let wireProtocol: Endpoint.WireProtocol

    package var id: AccountID { snapshot.id }

    /// Nil for an account that no call can be sent to: its base URL cannot be used, or nothing speaks to it yet.
    init?(_ snapshot: AccountSnapshot, _ betaPolicy: BetaPolicy) {
        let account = ProviderAccount(
            platform: snapshot.platform,
            type: snapshot.type,
            fields: snapshot.plainCredentials,
            headerOverrides: snapshot.headerOverrides,
            betaPolicy: betaPolicy
        )
        guard let provider = ProviderRegistry.provider(for: account) else { return nil }
        self.snapshot = snapshot
        self.provider = provider
        target = provider.target
        mapping = ModelMapping(snapshot.modelMapping)
        wireProtocol = Endpoint.WireProtocol(rawValue: snapshot.upstreamProtocol.rawValue) ?? .auto
    }

    /// Where its calls go, and over what.
    package func endpoint(_ settings: ServingSettings) -> Endpoint {
        Endpoint(
            isTLS: target.isTLS,
            host: target.host,
            port: target.port,
            wireProtocol: wireProtocol,
            isolation: settings.isolatesAccounts ? id.raw : nil
        )
    }

    /// Whether the account may be used now, whatever the model.
    package func isUsable(now: Timestamp) -> Bool {
        snapshot.isActive && snapshot.isSchedulable && (snapshot.expiresAt.map { $0 > now } ?? true)
    }
}
