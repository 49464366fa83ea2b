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
    private let groups: [GroupID: ServingGroup]

    package init(_ snapshot: ConfigSnapshot) {
        self.snapshot = snapshot
        prices = PriceList(snapshot.prices)
        settings = ServingSettings(snapshot.settings)
        let groups = Dictionary(snapshot.groups.map { ($0.id, $0) }) { $1 }
        var accounts: [GroupID: [ServingAccount]] = [:]
        for account in snapshot.accounts {
            guard let serving = ServingAccount(account) else { continue }
            for group in account.groups where groups[group]?.platform == account.platform {
                accounts[group, default: []].append(serving)
            }
        }
        self.groups = groups.mapValues { ServingGroup($0, accounts: accounts[$0.id] ?? []) }
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
    package let revision: String

    package var id: GroupID { snapshot.id }

    init(_ snapshot: GroupSnapshot, accounts: [ServingAccount]) {
        self.snapshot = snapshot
        self.accounts = accounts
        revisionField = "g\(snapshot.id)"
        revision = String(snapshot.revision)
    }
}

/// An account as the relay uses it.
package final class ServingAccount: Sendable {
    package let snapshot: AccountSnapshot
    package let mapping: ModelMapping
    package let target: UpstreamTarget

    package let wireProtocol: Endpoint.WireProtocol

    package var id: AccountID { snapshot.id }

    /// Nil for an account that no call can be sent to: its base URL cannot be used, or nothing speaks to it yet.
    init?(_ snapshot: AccountSnapshot) {
        guard snapshot.platform == .anthropic, snapshot.type == .apikey else { return nil }
        let url = snapshot.plainCredentials["base_url"] ?? ""
        guard let target = UpstreamTarget(baseURL: url.isEmpty ? AnthropicRequests.defaultBaseURL : url) else {
            return nil
        }
        self.snapshot = snapshot
        self.target = target
        mapping = ModelMapping(snapshot.modelMapping)
        wireProtocol = Endpoint.WireProtocol(rawValue: snapshot.upstreamProtocol.rawValue) ?? .auto
    }

    /// Whether the account may be used now, whatever the model.
    package func isUsable(now: Timestamp) -> Bool {
        snapshot.isActive && snapshot.isSchedulable && (snapshot.expiresAt.map { $0 > now } ?? true)
    }
}
