import Crypto
package import Domain
package import HTTPServing
package import Reactor
package import Snapshots
package import Telemetry

/// Where a loop's calls get the credentials of an account, newer ones than it has included.
///
/// Tokens are renewed by the control plane alone. A worker asks it once for each account, whatever number of loops and
/// calls wait, and has the new credentials in its answer; nothing is ever written here.
package final class TokenDesk {
    /// A token this close to its end is renewed while it is used.
    private static let margin = Duration.seconds(60)
    /// Clocks differ: a token is not sent in its last moments.
    private static let skew = Duration.seconds(2)
    /// How long the control plane may take.
    private static let patience = Duration.seconds(25)

    private let loop: EventLoop
    private let credentials: CredentialStore
    private let source: any TokenSource
    private let codec: SnapshotCodec
    private let log: Log
    private let renewals: Counter

    package init(
        _ loop: EventLoop,
        _ credentials: CredentialStore,
        _ source: any TokenSource,
        codec: SnapshotCodec,
        log: Log,
        renewals: Counter
    ) {
        self.loop = loop
        self.credentials = credentials
        self.source = source
        self.codec = codec
        self.log = log
        self.renewals = renewals
    }

    private var flights: TokenFlights { credentials.flights }

    // MARK: Before a call is sent

    /// What a call to the account is to carry where that does not end by itself; nil for accounts that have to be asked
    /// about with `usable`.
    package func lasting(of account: AccountID, _ type: AccountType) -> OpenedCredentials? {
        type == .oauth ? nil : credentials.opened(of: account)
    }

    /// What a call to the account is to carry; nil when its token is over and no newer one came in time.
    ///
    /// - Parameters:
    ///   - exchange: the call's; nobody waits for who has left.
    ///   - time: how long the call can wait; asked only where it must.
    package func usable(
        of account: AccountID,
        _ type: AccountType,
        for exchange: ServerExchange,
        now: Timestamp,
        within time: () -> Duration
    ) async -> OpenedCredentials? {
        guard let opened = credentials.opened(of: account) else { return nil }
        guard type == .oauth, opened.fields["refresh_token"] != nil else { return opened }
        let left = opened.fields["access_token"] == nil ? .zero : opened.expiresAt.map { $0 - now }
        if let left, left <= Self.margin, left > Self.skew {
            // It still works: the call does not wait.
            begin(account, newerThan: opened.version, isEarly: true) { _ in }
        }
        let isOver = left.map { $0 <= Self.skew } ?? false
        let isRefused = flights.isRefused(account, version: opened.secretsVersion, now: .now)
        guard isOver || isRefused else { return opened }
        // Also where the call itself cannot wait.
        begin(account, newerThan: opened.version) { _ in }
        guard await renewed(account, newerThan: opened.version, for: exchange, within: time()) else { return nil }
        return credentials.opened(of: account)
    }

    // MARK: After a refusal

    /// The secrets of this version were answered 401: no call here is to be sent with them for a while.
    package func refuse(_ account: AccountID, version: Int64) {
        guard !isNewer(account, version) else { return }
        flights.refuse(account, version: version, now: .now)
        begin(account, newerThan: version) { _ in }
    }

    /// Waits until the account has other secrets than those of this version; false when that takes too long, or the caller
    /// has left.
    package func renewed(
        _ account: AccountID,
        newerThan version: Int64,
        for exchange: ServerExchange,
        within time: Duration
    ) async -> Bool {
        let end = MonotonicTime.now + min(time, Self.patience)
        while !isNewer(account, version) {
            // A question that somebody asked before may bring the very secrets that are of no use by now: then once more.
            guard MonotonicTime.now < end, !exchange.isCallerGone,
                await landing(account, version, exchange, until: end)
            else {
                // The announcement may have brought them, whatever became of the question.
                return isNewer(account, version)
            }
        }
        return true
    }

    /// Waits for the end of a question; false when it came to nothing, or not in time for its caller.
    private func landing(
        _ account: AccountID,
        _ version: Int64,
        _ exchange: ServerExchange,
        until end: MonotonicTime
    ) async -> Bool {
        let promise = Promise<Bool>()
        let loop = loop
        let box = LoopBox(promise)
        let boarded = begin(account, newerThan: version) { hasNewer in
            loop.execute { box.promise.succeed(hasNewer) }
        }
        guard boarded else { return false }
        let timer = loop.schedule(after: end - .now) { promise.succeed(false) }
        exchange.onCallerGone = { promise.succeed(false) }
        defer {
            timer.stop()
            exchange.onCallerGone = nil
        }
        return (try? await promise.wait()) ?? false
    }

    /// Whether the account has other secrets by now than those of this version.
    package func isNewer(_ account: AccountID, _ version: Int64) -> Bool {
        (credentials.opened(of: account)?.secretsVersion ?? 0) > version
    }

    /// Asks, unless somebody does already; false when that was in vain a moment ago.
    @discardableResult
    private func begin(
        _ account: AccountID,
        newerThan version: Int64,
        isEarly: Bool = false,
        _ landing: @escaping TokenFlights.Landing
    ) -> Bool {
        switch flights.board(account, isEarly: isEarly, now: .now, onLanding: landing) {
        case .notNow: return false
        case .wait: return true
        case .ask:
            renewals.add()
            loop.spawn { [self] in
                let hasNewer = await ask(account, version)
                flights.land(account, hasNewer: hasNewer, now: .now)
            }
            return true
        }
    }

    private func ask(_ account: AccountID, _ version: Int64) async -> Bool {
        do {
            guard let text = try await source.fetchCredentials(of: account, newerThan: version) else {
                log.warning("the control plane has no newer token", ["account_id": .integer(account.raw)])
                return false
            }
            try credentials.accept(try codec.decodeCredentials(text, account: account))
            return isNewer(account, version)
        } catch {
            log.warning(
                "the control plane could not be asked for a token",
                ["account_id": .integer(account.raw), "error": "\(error)"]
            )
            return false
        }
    }
}

/// Who has newer credentials of an account.
package protocol TokenSource {
    /// The signed entry, once its secrets are newer than those of this version; nil when only a person can help.
    func fetchCredentials(of account: AccountID, newerThan version: Int64) async throws -> [UInt8]?
}

/// Carries a loop's own object through other threads, back to the loop.
private final class LoopBox: @unchecked Sendable {
    // Touched on the loop's thread only.
    let promise: Promise<Bool>
    init(_ promise: Promise<Bool>) { self.promise = promise }
}
