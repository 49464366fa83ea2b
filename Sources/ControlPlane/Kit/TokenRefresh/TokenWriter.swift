import Crypto
import Domain
import Formats
import Postgres
import Providers
import Reactor
import Telemetry

/// Brings what a token endpoint said into the database, and by that to the workers.
struct TokenWriter {
    /// How long a database that is away is waited for. After that the note in Redis keeps the tokens.
    private static let patience = Duration.seconds(30)

    private let parts: RefreshRunner.Parts
    private let notes: RotationNotes
    private let lock: RefreshLock
    private let log: Log

    init(_ parts: RefreshRunner.Parts, _ notes: RotationNotes, _ lock: RefreshLock, log: Log) {
        self.parts = parts
        self.notes = notes
        self.lock = lock
        self.log = log
    }

    // MARK: New tokens

    /// Writes the tokens, unless the account has another refresh token by now than the one they were had for.
    ///
    /// - Throws: `PostgresError`, when the database stays away.
    func store(_ tokens: TokenSet, issuedAt: Timestamp, inPlaceOf used: Secret, of id: AccountID) async throws
        -> RefreshOutcome
    {
        let end = MonotonicTime.now + Self.patience
        var backoff = Backoff(first: .milliseconds(100), longest: .seconds(2))
        while true {
            do {
                let outcome = try await write(tokens, issuedAt, used, id)
                await notes.remove(id)
                return outcome
            } catch let error as PostgresError where MonotonicTime.now < end {
                log.warning(
                    "renewed tokens could not be stored, will be tried again",
                    ["account_id": .integer(id.raw), "error": "\(error)"]
                )
                await parts.loop.sleep(backoff.next(chance: Double.random(in: 0..<1)))
                _ = try? await lock.extend()
            }
        }
    }

    private func write(_ tokens: TokenSet, _ issuedAt: Timestamp, _ used: Secret, _ id: AccountID) async throws
        -> RefreshOutcome
    {
        try await parts.changes.commit(by: .system) { change in
            guard let account = try await AccountStore.find(id, on: change.connection, forUpdate: true) else {
                return .noAccount
            }
            guard let secrets = try? parts.sealing.open(account.credentials.sealed, of: id) else { return .cannotOpen }
            guard secrets["refresh_token"].map({ Secret($0) }) == used else {
                log.info("renewed tokens are not needed any more", ["account_id": .integer(id.raw)])
                return .fresh(version: account.credentials.version)
            }
            let edit = tokens.edit(of: account.credentials)
            // Of what a renewal changes, workers see nothing in the configuration but this.
            let isSeen = edit.plain["account_id"] != account.credentials.plain["account_id"]
            let made = try parts.sealing.apply(edit, to: account.credentials, of: id)
            let isWritten = try await TokenStore.replace(
                of: account,
                with: made,
                issuedAt: issuedAt,
                isSeenByWorkers: isSeen,
                on: change.connection
            )
            // The row is locked, so nobody else can have written it.
            guard isWritten else { return .noAccount }
            change.publish(.account(id))
            if isSeen { change.publish(.config) }
            log.info("tokens renewed", ["account_id": .integer(id.raw), "version": .integer(made.version)])
            return .fresh(version: made.version)
        }
    }

    // MARK: What tokens lead to

    /// Unless somebody has named one meanwhile.
    ///
    /// - Throws: `PostgresError`.
    func add(project: String, to id: AccountID) async throws {
        try await parts.changes.commit(by: .system) { change in
            guard let account = try await AccountStore.find(id, on: change.connection, forUpdate: true),
                account.credentials.plain["project_id"] == nil
            else { return }
            var credentials = account.credentials
            credentials.plain["project_id"] = project
            let isWritten = try await AccountStore.replaceCredentials(
                of: id,
                with: credentials,
                ifVersion: account.credentials.version,
                hasNewSecrets: false,
                on: change.connection
            )
            guard isWritten else { return }
            change.publish(.account(id))
            change.publish(.config)
            change.audit("find_project", "account", id.raw, ["project_id": .string(project)])
        }
    }

    // MARK: No more tokens

    /// The provider takes the refresh token no more. If somebody else has put another in its place meanwhile, that one
    /// is used; only if not is the account in error.
    ///
    /// - Throws: `PostgresError`, `RedisError`.
    func end(_ id: AccountID, because text: String, of used: Secret, cutOff: Timestamp?) async throws
        -> RefreshOutcome
    {
        // A holder of the lock whose lease ran out may have had the answer that we did not get.
        if let note = try await notes.read(id), note.isOf(used), let tokens = note.tokens {
            return try await store(tokens, issuedAt: note.startedAt, inPlaceOf: used, of: id)
        }
        guard try await lock.extend() else {
            return .unavailable("Another control plane is renewing the tokens.", retryAfter: .seconds(2))
        }
        let outcome: RefreshOutcome = try await parts.changes.commit(by: .system) { change in
            guard let account = try await AccountStore.find(id, on: change.connection, forUpdate: true) else {
                return .noAccount
            }
            guard let secrets = try? parts.sealing.open(account.credentials.sealed, of: id) else { return .cannotOpen }
            guard secrets["refresh_token"].map({ Secret($0) }) == used else {
                return .fresh(version: account.credentials.version)
            }
            let message = Self.message(text, cutOff)
            try await TokenStore.end(account, message: message, on: change.connection)
            change.publish(.config)
            change.audit("refresh", "account", id.raw, ["error": .string(message)])
            log.error("an account must be signed in again", ["account_id": .integer(id.raw), "error": .text(message)])
            return .needsSignIn(message)
        }
        await notes.remove(id)
        return outcome
    }

    private static func message(_ text: String, _ cutOff: Timestamp?) -> String {
        let message = "The provider takes the refresh token no more (\(text)). Sign in again."
        guard let cutOff else { return message }
        let time = RFC3339.format(cutOff.microseconds)
        return message
            + " A renewal of \(time) was cut off before its answer was stored: it may have replaced the token."
    }
}
