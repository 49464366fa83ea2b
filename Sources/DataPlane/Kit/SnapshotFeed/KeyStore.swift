import Crypto
import Reactor
package import Redis
package import Snapshots

/// Where a worker looks a key up when Redis does not have it.
package protocol KeySource: AnyObject {
    /// The signed snapshot of the key, nil when there is no such key.
    ///
    /// - Throws: when the control plane cannot be asked.
    func fetchKey(hash: String) async throws -> [UInt8]?
}

/// The keys presented last, found by their text: hashing one takes as long as all the rest of finding it.
///
/// A slot for each value of some bits of the text; the texts are random. They are compared in constant time, so that
/// nobody learns from it how much of a key was right.
private struct PresentedKeys {
    private static let capacity = 1024
    private var slots = [(text: [UInt8], key: ServingKey)?](repeating: nil, count: capacity)

    func key(_ text: UnsafeRawBufferPointer) -> ServingKey? {
        guard let slot = Self.slot(of: text), let entry = slots[slot] else { return nil }
        return entry.text.withUnsafeBytes { ConstantTime.equal($0, text) } ? entry.key : nil
    }

    mutating func note(_ key: ServingKey, _ text: [UInt8]) {
        guard let slot = text.withUnsafeBytes({ Self.slot(of: $0) }) else { return }
        slots[slot] = (text, key)
    }

    mutating func removeAll() {
        for slot in slots.indices where slots[slot] != nil { slots[slot] = nil }
    }

    /// Nil for what is too short to be a key.
    private static func slot(of text: UnsafeRawBufferPointer) -> Int? {
        guard text.count >= 16 else { return nil }
        let word = text.loadUnaligned(fromByteOffset: text.count - 16, as: UInt64.self)
        return Int(truncatingIfNeeded: (word &* 0x9e37_79b9_7f4a_7c15) >> 54)
    }
}

/// API-key snapshots of one loop: a bounded cache, then Redis, then the control plane.
///
/// A cached key is never trusted for its age: admission compares its revisions. Unknown keys are remembered briefly, so
/// that a flood of them costs Redis and the control plane nothing.
package final class KeyStore {
    package enum Answer {
        case known(ServingKey)
        case unknown
        /// Neither Redis nor the control plane could say.
        case unavailable
        /// Too many keys that nobody has came from the caller's address.
        case tooManyMisses
    }

    private static let capacity = 100_000
    private static let unknownLifetime = Duration.seconds(5)
    /// Look-ups under way at once; a flood beyond it is refused rather than queued.
    private static let maximumLookUps = 256
    private static let maximumWaitersPerLookUp = 10_000
    /// Questions to the control plane, by one loop, about keys that turn out to be nobody's.
    private static let questions = RefillingLimit(burst: 200, interval: .milliseconds(20))

    private let redis: RedisClient
    private let source: any KeySource
    /// Of this loop.
    let codec: SnapshotCodec
    private var known = GenerationCache<String, ServingKey>(capacity: capacity)
    private var unknown = GenerationCache<String, MonotonicTime>(capacity: capacity)
    private var lookUps: [String: [Promise<Answer>]] = [:]
    private var misses = MissLimit()
    private var asked = RefillingLimit.Spent()
    /// Counts changes of keys: an answer that was asked for before one of them is not remembered.
    private var changes = 0
    private var presented = PresentedKeys()

    package init(_ redis: RedisClient, source: any KeySource, codec: SnapshotCodec) {
        self.redis = redis
        self.source = source
        self.codec = codec
    }

    /// The key from memory, without waiting; nil when it has to be looked up.
    package func cached(_ hash: String) -> Answer? {
        if let key = known.value(for: hash) { return .known(key) }
        guard let since = unknown.value(for: hash) else { return nil }
        if since.elapsed < Self.unknownLifetime { return .unknown }
        unknown.remove(hash)
        return nil
    }

    /// The key that was presented like this before, without its hash; nil when it has to be looked for by that.
    package func recent(_ text: UnsafeRawBufferPointer) -> ServingKey? { presented.key(text) }

    /// Remembers how the key was presented, as long as it is the one that this store has: it may have changed while it
    /// was looked up.
    package func note(_ key: ServingKey, presentedAs text: [UInt8]) {
        if known.value(for: key.snapshot.hash) === key { presented.note(key, text) }
    }

    /// Looks a key up that a caller at this address presents, unless too many of its keys were nobody's.
    package func lookUp(_ hash: String, from address: [UInt8]) async -> Answer {
        guard misses.allows(address, now: .now) else { return .tooManyMisses }
        let answer = await lookUp(hash)
        if case .unknown = answer { misses.charge(address, now: .now) }
        return answer
    }

    /// Looks the key up, also one that is cached: it stays until there is a newer answer. Callers that ask for the same
    /// key meanwhile share one look-up.
    package func lookUp(_ hash: String) async -> Answer {
        if let waiting = lookUps[hash] {
            guard waiting.count < Self.maximumWaitersPerLookUp else { return .unavailable }
            let promise = Promise<Answer>()
            lookUps[hash]?.append(promise)
            return (try? await promise.wait()) ?? .unavailable
        }
        guard lookUps.count < Self.maximumLookUps else { return .unavailable }
        lookUps[hash] = []
        let answer = await load(hash)
        for promise in lookUps.removeValue(forKey: hash) ?? [] { promise.succeed(answer) }
        return answer
    }

    /// A key was created, changed or deleted.
    package func forget(_ hash: String) {
        changes += 1
        presented.removeAll()
        known.remove(hash)
        unknown.remove(hash)
    }

    private func load(_ hash: String) async -> Answer {
        let before = changes
        switch await readRedis(hash) {
        case .key(let key): return remember(.known(ServingKey(key)), hash, ifUnchangedSince: before)
        case .surelyNone: return remember(.unknown, hash, ifUnchangedSince: before)
        case .unsure: break
        }
        guard Self.questions.spend(&asked, now: .now) else {
            return known.value(for: hash).map { .known($0) } ?? .unavailable
        }
        do {
            guard let text = try await source.fetchKey(hash: hash) else {
                return remember(.unknown, hash, ifUnchangedSince: before)
            }
            Self.questions.refund(&asked)
            return remember(.known(ServingKey(try codec.decodeKey(text, hash: hash))), hash, ifUnchangedSince: before)
        } catch {
            return known.value(for: hash).map { .known($0) } ?? .unavailable
        }
    }

    private enum Found {
        case key(KeySnapshot)
        case surelyNone
        /// Redis is away or has forgotten, or what stands there cannot be read: the control plane may still know.
        case unsure
    }

    /// Redis knows all keys while the marker stands, so a miss then needs no second opinion. The marker is read before
    /// the key, in one go: a publisher that is writing them all anew sets it last.
    private func readRedis(_ hash: String) async -> Found {
        let marker = Promise<RedisValue>()
        redis.send(RedisCommand(["GET", RedisNames.keysComplete])) { marker.fulfil($0.mapError { $0 }) }
        guard let answer = try? await redis.send(RedisCommand(["GET", RedisNames.key(hash: hash)])) else {
            return .unsure
        }
        if case .string(let text) = answer {
            return (try? codec.decodeKey(text, hash: hash)).map { .key($0) } ?? .unsure
        }
        if case .null = answer, case .string? = try? await marker.wait() { return .surelyNone }
        return .unsure
    }

    private func remember(_ answer: Answer, _ hash: String, ifUnchangedSince before: Int) -> Answer {
        guard before == changes else { return answer }
        // One that was known may have been presented.
        if known.value(for: hash) != nil { presented.removeAll() }
        switch answer {
        case .known(let key):
            unknown.remove(hash)
            known.insert(key, for: hash)
        case .unknown:
            known.remove(hash)
            unknown.insert(.now, for: hash)
        case .unavailable, .tooManyMisses:
            break
        }
        return answer
    }
}
