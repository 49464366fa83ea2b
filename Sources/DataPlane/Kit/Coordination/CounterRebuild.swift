package import Domain
import Reactor

/// Has the control plane write into Redis again what that has forgotten of a user's or an account's spending; one
/// question of each at a time.
package final class CounterRebuild {
    private enum Subject: Hashable {
        case user(UserID)
        case account(AccountID)
    }

    private let api: InternalAPI
    private var flights: [Subject: [Promise<Void>]] = [:]

    package init(_ api: InternalAPI) { self.api = api }

    /// Returns when they are written or nobody can write them: what follows asks Redis in either case.
    package func rebuild(_ user: UserID) async {
        await once(.user(user)) { [api] in try? await api.rebuildCounters(of: user) }
    }

    /// The same of an account's quotas.
    package func rebuild(_ account: AccountID) async {
        await once(.account(account)) { [api] in try? await api.rebuildQuota(of: account) }
    }

    private func once(_ subject: Subject, _ ask: () async -> Void) async {
        if flights[subject] != nil {
            let promise = Promise<Void>()
            flights[subject]?.append(promise)
            return (try? await promise.wait()) ?? ()
        }
        flights[subject] = []
        await ask()
        for promise in flights.removeValue(forKey: subject) ?? [] { promise.succeed(()) }
    }
}
