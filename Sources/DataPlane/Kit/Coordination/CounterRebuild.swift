package import Domain
import Reactor

/// Has the control plane write a user's counters into Redis again that has forgotten them; one question a user at a time.
package final class CounterRebuild {
    private let api: InternalAPI
    private var flights: [UserID: [Promise<Void>]] = [:]

    package init(_ api: InternalAPI) { self.api = api }

    /// Returns when they are written or nobody can write them: what follows asks Redis in either case.
    package func rebuild(_ user: UserID) async {
        if flights[user] != nil {
            let promise = Promise<Void>()
            flights[user]?.append(promise)
            return (try? await promise.wait()) ?? ()
        }
        flights[user] = []
        try? await api.rebuildCounters(of: user)
        for promise in flights.removeValue(forKey: user) ?? [] { promise.succeed(()) }
    }
}
