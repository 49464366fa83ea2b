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

    /// Asks for the account that a session is bound to, which `account` reads. Its life begins anew.
    package func bound(_ session: SessionName, _ group: GroupID, then handler: @escaping RedisReplyHandler) {
        let isFresh = !uses.note(session.raw, group, at: .now)
        func write(_ command: inout RedisWriter) {
            command.add(isFresh ? "GET" : "GETEX")
            command.add { RedisNames.writeBinding(session.raw, group, to: &$0) }
            guard !isFresh else { return }
            command.add("EX")
            command.add(Self.bindingSeconds)
        }
        let texts = RedisNames.longestOfSession + 16
        redis.send(isFresh ? 2 : 4, atMost: texts + 4 * RedisWriter.overhead, write, then: handler)
    }

    /// Binds a session that was bound to none; `body` gets the account that it is bound to now, which is another one
    /// where somebody else was first.
    package func bind(
        _ session: SessionName,
        _ group: GroupID,
        to account: AccountID,
        _ body: @escaping (AccountID?) -> Void
    ) {
        redis.run(binding, atMost: RedisNames.longestOfSession + 32 + 3 * RedisWriter.overhead) { rest in
            rest.add { RedisNames.writeBinding(session.raw, group, to: &$0) }
            rest.add(account.raw)
            rest.add(Self.bindingSeconds)
        } then: {
            body(Self.account($0))
        }
    }

    /// To be called at each new connection: the Redis may be another one, which lacks what was renewed last.
    package func forget() { uses = RecentUses() }

    /// Unbinds a session from an account that cannot serve.
    package func unbind(_ session: SessionName, _ group: GroupID, from account: AccountID) {
        let name = RedisNames.binding(session.raw, group)
        redis.run(SessionScripts.unbind, keys: [name], arguments: [account.description]) { _ in }
    }

    /// Asks for the session that a conversation belongs to by its turns, which `session` reads.
    package func session(
        of chain: DigestChain,
        _ key: KeyID,
        _ group: GroupID,
        then handler: @escaping RedisReplyHandler
    ) {
        let prefixes = chain.prefixes.suffix(DigestChain.maximumPrefixes)
        let search =
            searches[prefixes.count]
            ?? PreparedRun(SessionScripts.turns, keys: [], furtherKeys: 1, furtherArguments: 3 + prefixes.count)
        searches[prefixes.count] = search
        func write(_ rest: inout RedisWriter) {
            rest.add { RedisNames.writeTurns(of: key, group, context: chain.context, to: &$0) }
            rest.add(hexadecimal: chain.name.raw)
            rest.add(Int64(Self.lifeSeconds))
            rest.add(maximumChains)
            for prefix in prefixes.reversed() { rest.add(hexadecimal: prefix) }
        }
        let texts = RedisNames.longestOfSession + 64 + 16 * prefixes.count
        redis.run(search, atMost: texts + (4 + prefixes.count) * RedisWriter.overhead, write, then: handler)
    }

    /// Nil for none, or without an answer.
    package static func account(_ answer: borrowing RedisReply) -> AccountID? {
        answer.integer.map { AccountID($0) }
    }

    /// Nil without an answer.
    package static func session(_ answer: borrowing RedisReply) -> SessionName? {
        answer.withText { session($0) } ?? nil
    }

    private static func session(_ digits: UnsafeRawBufferPointer) -> SessionName? {
        guard digits.count == 16 else { return nil }
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
