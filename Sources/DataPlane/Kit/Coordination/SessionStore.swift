package import Dialects
package import Domain
package import Redis
import Snapshots

/// Which account a session is bound to: keyed by group, so that groups never share one. Nothing here is worth an error
/// to a caller: a Redis that does not answer is a session that is bound to nothing.
package final class SessionStore {
    /// A binding, and a chain of turns, lives so long after its last use.
    package static let lifeSeconds = "3600"
    /// Chains of turns that are kept for one caller's program in one group: each takes about 100 bytes.
    package static let maximumChains = 10_000

    private let redis: RedisClient
    private let maximumChains: String

    package init(_ redis: RedisClient, maximumChains: Int = SessionStore.maximumChains) {
        self.redis = redis
        self.maximumChains = String(maximumChains)
    }

    /// The account that a session is bound to; nil for none. Its life begins anew.
    package func bound(_ session: SessionName, _ group: GroupID, _ body: @escaping (AccountID?) -> Void) {
        let name = RedisNames.binding(session.raw, group)
        redis.send(RedisCommand(["GETEX", name, "EX", Self.lifeSeconds])) {
            body((try? $0.get()).flatMap(Self.account))
        }
    }

    /// Binds a session that was bound to none; `body` gets the account that it is bound to now, which is another one
    /// where somebody else was first.
    package func bind(
        _ session: SessionName,
        _ group: GroupID,
        to account: AccountID,
        _ body: @escaping (AccountID?) -> Void
    ) {
        redis.run(
            SessionScripts.bind,
            keys: [RedisNames.binding(session.raw, group)],
            arguments: [account.description, Self.lifeSeconds]
        ) { body((try? $0.get()).flatMap(Self.account)) }
    }

    /// Unbinds a session from an account that cannot serve.
    package func unbind(_ session: SessionName, _ group: GroupID, from account: AccountID) {
        let name = RedisNames.binding(session.raw, group)
        redis.run(SessionScripts.unbind, keys: [name], arguments: [account.description]) { _ in }
    }

    /// The session that a conversation belongs to by its turns; nil without an answer.
    package func session(
        of chain: DigestChain,
        _ key: KeyID,
        _ group: GroupID,
        _ body: @escaping (SessionName?) -> Void
    ) {
        var arguments = [RedisNames.hexadecimal(chain.name.raw), Self.lifeSeconds, maximumChains]
        for prefix in chain.prefixes.reversed() { arguments.append(RedisNames.hexadecimal(prefix)) }
        redis.run(
            SessionScripts.turns,
            keys: [RedisNames.turns(of: key, group, context: chain.context)],
            arguments: arguments
        ) { answer in
            body((try? answer.get())?.text.flatMap { UInt64($0, radix: 16) }.map { SessionName($0) })
        }
    }

    private static func account(_ value: RedisValue) -> AccountID? {
        value.text.flatMap { Int64($0) }.map { AccountID($0) }
    }
}
