import Decisions
import Domain
import HTTPMessages
import HTTPServing
import Reactor
import Snapshots
import Telemetry

/// Finds out who calls: the key that a request presents, and where it comes from.
struct Authenticator {
    private let context: WorkerContext
    /// A key is refused for this long without another look at it.
    static let refusalLifetime = Duration.seconds(1)

    init(_ context: WorkerContext) { self.context = context }

    func authenticate(_ exchange: ServerExchange) async throws -> (ServingKey, GatewayConfig) {
        if let key = recognised(exchange) { return (key, try currentConfig()) }
        return (try await accepted(exchange, allowsExpired: false), try currentConfig())
    }

    /// The key of a caller who was here before and may go on, which is nearly everybody: nobody has to be asked.
    private func recognised(_ exchange: ServerExchange) -> ServingKey? {
        guard case .known(let key)? = presentedKey(exchange),
            (try? AdmissionPolicy.check(key.snapshot, address: clientAddress(exchange), now: .now)) != nil
        else { return nil }
        return key
    }

    /// The caller's key when it may be used.
    ///
    /// No admission compares the revision of one that is refused here: it is looked up again, or a key that was enabled
    /// while the announcement got lost would stay refused.
    func accepted(_ exchange: ServerExchange, allowsExpired: Bool) async throws -> ServingKey {
        let key = try await identify(exchange)
        let address = clientAddress(exchange)
        do {
            try AdmissionPolicy.check(key.snapshot, address: address, now: .now, allowsExpired: allowsExpired)
            return key
        } catch {
            guard key.loadedAt.elapsed >= Self.refusalLifetime else { throw error }
            let newer = try Self.key(in: await context.keys.lookUp(key.snapshot.hash))
            try AdmissionPolicy.check(newer.snapshot, address: address, now: .now, allowsExpired: allowsExpired)
            return newer
        }
    }

    private func identify(_ exchange: ServerExchange) async throws -> ServingKey {
        let keys = context.keys
        switch presentedKey(exchange) {
        case nil: throw AdmissionPolicy.unknownKey
        case .known(let key): return key
        case .hash(let hash, let text):
            let key: ServingKey
            if let answer = keys.cached(hash) {
                key = try Self.key(in: answer)
            } else {
                key = try Self.key(in: await keys.lookUp(hash, from: clientAddress(exchange)))
            }
            keys.note(key, presentedAs: text)
            return key
        }
    }

    private func presentedKey(_ exchange: ServerExchange) -> PresentedKey? {
        let keys = context.keys
        return CallerKey.first(in: exchange.request) { text -> PresentedKey? in
            if let key = keys.recent(text) { return .known(key) }
            return CallerKey.hash(of: text).map { .hash($0, Array(text)) }
        }
    }

    private enum PresentedKey {
        case known(ServingKey)
        case hash(String, [UInt8])
    }

    static func key(in answer: KeyStore.Answer) throws -> ServingKey {
        switch answer {
        case .known(let key): return key
        case .unknown: throw AdmissionPolicy.unknownKey
        case .unavailable: throw notReady
        case .tooManyMisses:
            throw GatewayError(.rateLimited, "Too many API keys that are not valid; wait.", retryAfterSeconds: 1)
        }
    }

    static let notReady = GatewayError(
        .unavailable,
        "The gateway is not ready; try again.",
        retryAfterSeconds: 1,
        detail: "no key or configuration"
    )

    func currentConfig() throws -> GatewayConfig {
        guard let config = context.config else { throw Self.notReady }
        return config
    }

    func clientAddress(_ exchange: ServerExchange) -> [UInt8] {
        let peer = exchange.peer?.bytes ?? []
        guard let trusted = context.config?.trustedProxies, !trusted.isEmpty else { return peer }
        return ClientAddress.resolve(
            peer: peer,
            forwardedFor: exchange.request.headers.values("x-forwarded-for"),
            trusted: trusted
        )
    }

    func clientIP(_ exchange: ServerExchange) -> String {
        guard context.config?.trustedProxies.isEmpty == false else { return exchange.peer?.ip ?? "" }
        return SocketAddress(bytes: clientAddress(exchange), port: 0)?.ip ?? ""
    }
}
