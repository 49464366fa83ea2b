import Crypto

/// The turns of a conversation, each as a hash of its text: `s:h-u:h-m:h…` (system, user, model).
///
/// The next call of a conversation has this call's chain as a prefix, so the longest prefix that was seen before tells
/// which conversation a call goes on with. A prefix is kept as one hash that rolls on from turn to turn: what a chain
/// takes does not grow with it.
package struct DigestChain: Hashable, Sendable {
    package enum Speaker: UInt8, Sendable {
        case system = 0x73
        case user = 0x75
        case model = 0x6d
    }

    /// Prefixes that are looked for. Calls of a conversation are a few turns apart; one that comes with more than these
    /// that nobody has seen begins a session.
    package static let maximumPrefixes = 64

    /// Whose chains may be its prefixes.
    package let context: UInt64
    /// The hashes of the longest prefixes, the shortest of them first: the last is the whole chain's.
    package private(set) var prefixes: [UInt64] = []
    /// What the session is called if no prefix was seen before.
    package let name: SessionName
    /// What the session is probably called: as one that began with all that stands before the model's first turn.
    package let likelyName: SessionName

    init(context: UInt64, prefixes: [UInt64], name: SessionName, likelyName: SessionName) {
        self.context = context
        self.prefixes = prefixes
        self.name = name
        self.likelyName = likelyName
    }
}

/// Makes a chain of what the turns of a request say, in their order, with one pass over the texts: what they amount to up
/// to the end of a turn is that turn's hash.
struct DigestChainBuilder: ~Copyable {
    private let context: UInt64
    private var texts: XXH64Stream
    private var prefixes: [UInt64] = []
    private var prefix: UInt64 = 0
    /// What the texts amount to up to the end of the last turn.
    private var said: UInt64 = 0
    private var speaker: DigestChain.Speaker?
    private var likelyName: SessionName?

    init(_ scope: SessionScope) {
        var texts = XXH64Stream()
        context = scope.withContext { context in
            texts.update(context)
            return XXH64.hash(UnsafeRawBufferPointer(rebasing: context.dropLast()))
        }
        self.texts = texts
    }

    mutating func begin(_ speaker: DigestChain.Speaker) {
        endTurn()
        if speaker == .model, likelyName == nil, !prefixes.isEmpty { likelyName = SessionName(said) }
        self.speaker = speaker
    }

    /// A text of the turn that has begun.
    mutating func add(_ text: UnsafeRawBufferPointer) { texts.update(text) }

    private mutating func endTurn() {
        guard let speaker else { return }
        self.speaker = nil
        said = texts.digest
        prefix = withUnsafeTemporaryAllocation(byteCount: 18, alignment: 8) { link in
            link.storeBytes(of: prefix, toByteOffset: 0, as: UInt64.self)
            link.storeBytes(of: said, toByteOffset: 8, as: UInt64.self)
            link.storeBytes(of: speaker.rawValue, toByteOffset: 16, as: UInt8.self)
            link.storeBytes(of: UInt8(ascii: ":"), toByteOffset: 17, as: UInt8.self)
            return XXH64.hash(UnsafeRawBufferPointer(link))
        }
        if prefixes.isEmpty { prefixes.reserveCapacity(8) }
        // Twice as many are kept for a while, so that they are moved once for each of them.
        if prefixes.count == 2 * DigestChain.maximumPrefixes {
            prefixes.removeFirst(DigestChain.maximumPrefixes)
        }
        prefixes.append(prefix)
    }

    /// Nil when nobody has said anything.
    consuming func finish() -> DigestChain? {
        endTurn()
        guard !prefixes.isEmpty else { return nil }
        if prefixes.count > DigestChain.maximumPrefixes {
            prefixes.removeFirst(prefixes.count - DigestChain.maximumPrefixes)
        }
        let name = SessionName(said)
        return DigestChain(
            context: context,
            prefixes: prefixes,
            name: name,
            likelyName: likelyName ?? name
        )
    }
}
