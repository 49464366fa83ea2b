import Crypto
import Domain
import HTTPFetching
import Postgres
import Providers
import Reactor
import Telemetry

/// One renewal of one account's tokens, under the account's lock.
struct TokenRenewal {
    private let account: AccountRecord
    private let parts: RefreshRunner.Parts
    private let lock: RefreshLock
    private let notes: RotationNotes
    private let writer: TokenWriter
    private let log: Log
    private let metrics: RefreshMetrics

    init(
        _ account: AccountRecord,
        _ parts: RefreshRunner.Parts,
        _ lock: RefreshLock,
        log: Log,
        _ metrics: RefreshMetrics
    ) {
        self.account = account
        self.parts = parts
        self.lock = lock
        self.log = log
        self.metrics = metrics
        notes = RotationNotes(parts.redis, parts.sealing.keys)
        writer = TokenWriter(parts, notes, lock, log: log)
    }

    private var id: AccountID { account.id }
    private var now: Timestamp { .now }

    /// - Throws: `PostgresError`, `RedisError`.
    func run(isPatient: Bool) async throws -> RefreshOutcome {
        let secrets: [String: String]
        do {
            secrets = try parts.sealing.open(account.credentials.sealed, of: id)
        } catch {
            metrics.cannotOpen()
            log.error("credentials cannot be opened", ["account_id": .integer(id.raw), "error": "\(error)"])
            return .cannotOpen
        }
        guard account.fields.type == .oauth, let token = secrets["refresh_token"].map({ Secret($0) }),
            let signIn = ProviderRegistry.signIn(for: account.fields.platform)
        else { return .noRefreshToken }
        let earlier = try await notes.read(id).flatMap { $0.isOf(token) ? $0 : nil }
        if let tokens = earlier?.tokens {
            log.warning("tokens of a renewal that was cut off are stored now", ["account_id": .integer(id.raw)])
            return try await writer.store(tokens, issuedAt: earlier?.startedAt ?? now, inPlaceOf: token, of: id)
        }
        if !isPatient, account.refresh.failures > 0, let retryAt = account.refresh.retryAt, retryAt > now {
            return .unavailable(account.refresh.error ?? "The last renewal failed.", retryAfter: retryAt - now)
        }
        let client = parts.clients.client(
            for: account.fields.platform,
            plain: account.credentials.plain,
            secrets: secrets
        )
        guard let client else {
            return try await failed(.refused("No OAuth client is configured for this platform."))
        }
        let proxy: ProxyServer?
        do {
            proxy = try await parts.pool.withConnection {
                try await account.proxyServer(parts.sealing.keys, on: $0)
            }
        } catch let failure as UpstreamFailure {
            return try await failed(.refused(failure.description))
        }
        return try await ask(signIn, client, proxy, token, cutOff: earlier?.startedAt)
    }

    /// - Parameter cutOff: when an earlier renewal with this token began whose answer nobody has.
    private func ask(
        _ signIn: any SignIn,
        _ client: SignInClient,
        _ proxy: ProxyServer?,
        _ token: Secret,
        cutOff: Timestamp?
    ) async throws -> RefreshOutcome {
        var note = RotationNote(using: token, at: cutOff ?? now)
        if cutOff == nil { try await notes.write(note, id) }
        let started = MonotonicTime.now
        let reply = await parts.endpoint.ask(
            signIn.refresh(token, client),
            signIn,
            through: proxy,
            isolation: id.raw,
            now: { now }
        )
        metrics.asked(account.fields.platform, reply.name, since: started)
        switch reply {
        case .answer(.tokens(let tokens)):
            note.startedAt = now
            note.tokens = tokens
            do {
                try await notes.write(note, id)
            } catch {
                // Then the answer is in this process alone until Postgres has it.
                log.warning("a renewal could not be noted", ["account_id": .integer(id.raw), "error": "\(error)"])
            }
            let outcome = try await writer.store(tokens, issuedAt: note.startedAt, inPlaceOf: token, of: id)
            if case .fresh = outcome { findProject(tokens.accessToken, proxy) }
            return outcome
        case .answer(.gone(let text)):
            return try await writer.end(id, because: text, of: token, cutOff: cutOff)
        case .answer(.refused(let text)):
            if cutOff == nil { await notes.remove(id) }
            return try await failed(.refused(text))
        case .answer(.unavailable(let text, let retryAfter)):
            if cutOff == nil { await notes.remove(id) }
            return try await failed(.unavailable(text, retryAfter: retryAfter ?? .zero))
        case .failure(let failure):
            // An answer that was lost on its way may have replaced the token: the note goes on saying so.
            if failure.isUnsent, cutOff == nil { await notes.remove(id) }
            return try await failed(.unavailable(failure.description, retryAfter: .zero))
        }
    }

    /// For an account that has none; nobody waits for it.
    private func findProject(_ token: Secret, _ proxy: ProxyServer?) {
        let provider = ProviderAccount(account)
        guard ProviderRegistry.provider(for: provider)?.projectSearch(token) != nil else { return }
        parts.loop.spawn { [self] in
            let finder = ProjectFinder(parts.upstream, log: log)
            guard let project = await finder.find(provider, token: token, through: proxy, isolation: id.raw) else {
                return
            }
            do {
                try await writer.add(project: project, to: id)
            } catch {
                log.warning("a project could not be stored", ["account_id": .integer(id.raw), "error": "\(error)"])
            }
        }
    }

    private func failed(_ outcome: RefreshOutcome) async throws -> RefreshOutcome {
        let (text, retryAfter): (String, Duration) =
            switch outcome {
            case .unavailable(let text, let wait): (text, wait)
            case .refused(let text): (text, .zero)
            default: ("", .zero)
            }
        let wait = RefreshPlanner.backoff(failures: account.refresh.failures + 1, retryAfter: retryAfter)
        log.warning(
            "tokens could not be renewed",
            ["account_id": .integer(id.raw), "error": .text(text), "retry_seconds": .integer(wait.components.seconds)]
        )
        try await TokenStore.noteFailure(of: id, text, retryAt: now + wait, in: parts.pool)
        if case .unavailable = outcome { return .unavailable(text, retryAfter: wait) }
        return outcome
    }
}

extension TokenEndpoint.Reply {
    /// For metrics.
    fileprivate var name: String {
        switch self {
        case .answer(.tokens): "renewed"
        case .answer(.gone): "invalid_grant"
        case .answer(.refused): "refused"
        case .answer(.unavailable): "unavailable"
        case .failure: "no_answer"
        }
    }
}
