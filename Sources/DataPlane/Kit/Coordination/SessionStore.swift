import Bytes
package import Dialects
package import Domain
import Formats
import Reactor
package import Redis
import Snapshots

/// Which account a session is bound to: keyed by group, so that groups never share one. Nothing here is worth an error
/// to a caller: a Redis that does not answer is a session that is bound to nothing.
package final class SessionStore {
    /// A binding, and a chain of turns, lives so long after its last use.
    package static let lifeSeconds = 3600
    /// Chains of turns that are kept for one caller's program in one group: each takes about 100 bytes.
    package static let maximumChains = 10_000

    /// A binding that this loop has renewed a minute ago or later is only read.
    private static let bindingSeconds = "\(lifeSeconds + SessionScripts.slackSeconds)"

    private let redis: RedisClient
    private let maximumChains: String
    private var uses = RecentUses()
    private let binding = PreparedRun(SessionScripts.bind, keys: [], furtherKeys: 1, furtherArguments: 2)
    /// By how many prefixes are looked for.
    private var searches: [PreparedRun?] = Array(repeating: nil, count: DigestChain.maximumPrefixes + 1)

    package init(_ redis: RedisClient, maximumChains: Int = SessionStore.maximumChains) {
        self.redis = redis
        self.maximumChains = String(maximumChains)
    }

    /// The account that a session is bound to; nil for none. Its life begins anew.
    package func bound(_ session: SessionName, _ group: GroupID, _ body: @escaping (AccountID?) -> Void) {
        let isFresh = !uses.note(session.raw, group, at: .now)
        var command = RedisCommand(isFresh ? "GET" : "GETEX", capacity: RedisNames.longestOfSession + 48)
        command.add(atMost: RedisNames.longestOfSession) { RedisNames.writeBinding(session.raw, group, to: &$0) }
        if !isFresh {
            command.add("EX")
            command.add(Self.bindingSeconds)
        }
        redis.send(command) { body(Self.account($0)) }
    }

    /// Binds a session that was bound to none; `body` gets the account that it is bound to now, which is another one
    /// where somebody else was first.
    package func bind(
        _ session: SessionName,
        _ group: GroupID,
        to account: AccountID,
        _ body: @escaping (AccountID?) -> Void
    ) {
        var rest = RedisArguments(capacity: RedisNames.longestOfSession + 72)
        rest.add(atMost: RedisNames.longestOfSession) { RedisNames.writeBinding(session.raw, group, to: &$0) }
        rest.add(account.raw)
        rest.add(Self.bindingSeconds)
        redis.run(binding, rest) { body(Self.account($0)) }
    }

    /// To be called at each new connection: the Redis may be another one, which lacks what was renewed last.
    package func forget() { uses = RecentUses() }

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
        let prefixes = chain.prefixes
        guard prefixes.count < searches.count else { return body(nil) }
        let search =
            searches[prefixes.count]
            ?? PreparedRun(SessionScripts.turns, keys: [], furtherKeys: 1, furtherArguments: 3 + prefixes.count)
        searches[prefixes.count] = search
        var rest = RedisArguments(capacity: RedisNames.longestOfSession + 80 + 24 * prefixes.count)
        rest.add(atMost: RedisNames.longestOfSession) {
            RedisNames.writeTurns(of: key, group, context: chain.context, to: &$0)
        }
        rest.add(atMost: 16) { $0.write(hexadecimal: chain.name.raw) }
        rest.add(Int64(Self.lifeSeconds))
        rest.add(maximumChains)
        for prefix in prefixes.reversed() { rest.add(atMost: 16) { $0.write(hexadecimal: prefix) } }
        redis.run(search, rest) { body(Self.session($0)) }
    }

    private static func account(_ answer: Result<RedisValue, RedisError>) -> AccountID? {
        guard case .success(let value) = answer else { return nil }
        return value.integer.map { AccountID($0) }
    }

    private static func session(_ answer: Result<RedisValue, RedisError>) -> SessionName? {
        guard case .success(.string(let digits)) = answer, digits.count == 16 else { return nil }
        var name: UInt64 = 0
        for digit in digits {
            guard let value = Hex.value(digit) else { return nil }
            name = name << 4 | UInt64(value)
        }
        return SessionName(name)
    }
}

/// Which bindings were renewed within the slack, of the last few thousand.
struct RecentUses {
    private struct Use {
        var name: UInt64
        var at: MonotonicTime
    }

    private static let bits = 12
    private static let slack = Duration.seconds(SessionScripts.slackSeconds)
    /// By the lowest bits of the name; a later one takes the place of an earlier.
    private var uses: [Use?] = Array(repeating: nil, count: 1 << bits)

    /// - Returns: whether the binding is to be renewed; then it counts as renewed.
    mutating func note(_ session: UInt64, _ group: GroupID, at now: MonotonicTime) -> Bool {
        let name = session &+ UInt64(bitPattern: group.raw) &* 0x9E37_79B9_7F4A_7C15
        let place = Int(truncatingIfNeeded: name & (1 << Self.bits - 1))
        if let use = uses[place], use.name == name, now - use.at < Self.slack { return false }
        uses[place] = Use(name: name, at: now)
        return true
    }
}
