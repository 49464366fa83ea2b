package import Domain
package import Postgres
package import Reactor
package import Redis
package import Telemetry

/// What came of a wish for newer tokens.
package enum RefreshOutcome: Hashable, Sendable {
    /// The account has tokens that are newer than was asked for; they stand in the credentials of this version.
    case fresh(version: Int64)
    /// The provider takes the refresh token no more.
    case needsSignIn(String)
    case noRefreshToken
    /// The provider refuses for a reason that is not the token's, or there is no client to ask with.
    case refused(String)
    /// Perhaps later.
    case unavailable(String, retryAfter: Duration)
    case noAccount
    /// No present master key opens the account's secrets.
    case cannotOpen
}

/// Renews accounts' tokens: one at a time for each account, whoever asks and wherever.
///
/// Within this process all who ask for one account share a flight; among control planes there is a lock in Redis. Under
/// the lock the row is read again, and the endpoint is asked only if the tokens there are still those that somebody
/// found stale. The write goes by the credentials' version and touches the token fields only.
package final class RefreshRunner {
    /// All that it works with.
    package struct Parts {
        package var loop: EventLoop
        package var pool: PostgresPool
        package var redis: RedisClient
        package var changes: ChangeNotifier
        package var sealing: CredentialSealing
        package var endpoint: TokenEndpoint
        package var clients: OAuthClients
        package var upstream: UpstreamClient

        package init(
            loop: EventLoop,
            pool: PostgresPool,
            redis: RedisClient,
            changes: ChangeNotifier,
            sealing: CredentialSealing,
            upstream: UpstreamClient,
            clients: OAuthClients
        ) {
            self.loop = loop
            self.pool = pool
            self.redis = redis
            self.changes = changes
            self.sealing = sealing
            self.upstream = upstream
            endpoint = TokenEndpoint(upstream)
            self.clients = clients
        }
    }

    private static let lockPoll = Duration.milliseconds(100)
    private static let lockWait = Duration.seconds(25)
    private static let retryAfterTrouble = Duration.seconds(2)

    private let parts: Parts
    private let log: Log
    private let metrics: RefreshMetrics
    private var flights: [AccountID: [Promise<RefreshOutcome>]] = [:]

    package init(_ parts: Parts, log: Log, metrics: MetricsRegistry) {
        self.parts = parts
        self.log = log
        self.metrics = RefreshMetrics(metrics)
    }

    /// Sees to it that the account has newer tokens than those of a version.
    ///
    /// - Parameters:
    ///   - stale: the version of the credentials that somebody has found stale; versions before it are as stale.
    ///   - isPatient: whether to ask the endpoint although it failed a moment ago, or has refused the refresh token; calls are
    ///     not, an admin is, and so is the keeper, which has looked at both itself.
    ///   - time: how long to wait. The renewal itself goes on.
    package func renew(
        _ account: AccountID,
        newerThan stale: Int64,
        isPatient: Bool = false,
        within time: Duration = .seconds(30)
    ) async -> RefreshOutcome {
        let end = MonotonicTime.now + time
        while MonotonicTime.now < end {
            let outcome = await join(account, stale, isPatient, until: end)
            // A flight that began for older tokens may have ended with the very ones that are stale by now.
            guard case .fresh(let version) = outcome, version <= stale else { return outcome }
        }
        return .unavailable("The renewal takes longer than this.", retryAfter: Self.retryAfterTrouble)
    }

    /// Waits until nothing is being renewed, at most so long: a process that ends meanwhile leaves the rest to the notes.
    package func drain(within time: Duration) async {
        let end = MonotonicTime.now + time
        while !flights.isEmpty, MonotonicTime.now < end { await parts.loop.sleep(.milliseconds(20)) }
    }

    private func join(_ account: AccountID, _ stale: Int64, _ isPatient: Bool, until end: MonotonicTime) async
        -> RefreshOutcome
    {
        let promise = Promise<RefreshOutcome>()
        if flights[account] != nil {
            flights[account]?.append(promise)
        } else {
            flights[account] = [promise]
            parts.loop.spawn { [self] in
                let outcome = await fly(account, stale, isPatient)
                for waiter in flights.removeValue(forKey: account) ?? [] { waiter.succeed(outcome) }
            }
        }
        let timer = parts.loop.schedule(after: end - .now) {
            promise.succeed(
                .unavailable("The renewal takes longer than this.", retryAfter: Self.retryAfterTrouble)
            )
        }
        defer { timer.stop() }
        return (try? await promise.wait()) ?? .noAccount
    }

    private func fly(_ account: AccountID, _ stale: Int64, _ isPatient: Bool) async -> RefreshOutcome {
        do {
            return try await takeLock(account, stale, isPatient)
        } catch let error as PostgresError {
            log.warning(
                "tokens cannot be renewed without the database",
                ["account_id": .integer(account.raw), "error": "\(error)"]
            )
            return .unavailable("The database cannot be reached.", retryAfter: Self.retryAfterTrouble)
        } catch {
            log.warning("tokens cannot be renewed", ["account_id": .integer(account.raw), "error": "\(error)"])
            return .unavailable("Redis cannot be reached.", retryAfter: Self.retryAfterTrouble)
        }
    }

    private func takeLock(_ id: AccountID, _ stale: Int64, _ isPatient: Bool) async throws -> RefreshOutcome {
        let end = MonotonicTime.now + Self.lockWait
        repeat {
            guard let account = try await find(id) else { return .noAccount }
            if account.refresh.secretsVersion > stale { return .fresh(version: account.credentials.version) }
            if !isPatient, account.refresh.needsSignIn, let error = account.refresh.error {
                return .needsSignIn(error)
            }
            if let lock = try await RefreshLock.take(id, parts.redis, on: parts.loop) {
                do {
                    let outcome = try await underLock(lock, id, stale, isPatient)
                    await lock.release()
                    return outcome
                } catch {
                    await lock.release()
                    throw error
                }
            }
            await parts.loop.sleep(Self.lockPoll)
        } while MonotonicTime.now < end
        return .unavailable("Another control plane is renewing the tokens.", retryAfter: Self.retryAfterTrouble)
    }

    private func find(_ id: AccountID) async throws -> AccountRecord? {
        try await parts.pool.withConnection { try await AccountStore.find(id, on: $0) }
    }

    private func underLock(_ lock: RefreshLock, _ id: AccountID, _ stale: Int64, _ isPatient: Bool) async throws
        -> RefreshOutcome
    {
        // Whoever had the lock before may have renewed them.
        guard let account = try await find(id) else { return .noAccount }
        if account.refresh.secretsVersion > stale { return .fresh(version: account.credentials.version) }
        return try await TokenRenewal(account, parts, lock, log: log, metrics).run(isPatient: isPatient)
    }
}
