import Formats
import Synchronization

/// What is wrong with the text of a key ring. Names entries, never shows a key.
package enum MasterKeyFault: Error, Equatable, CustomStringConvertible {
    case noKeys
    /// The entry at this place, counted from 1, is not `id:key`.
    case notAnEntry(Int)
    /// The entry at this place has an id that is not 1–32 of `A–Z a–z 0–9 _ -`.
    case invalidID(Int)
    case duplicateID(String)
    /// The key with this id is not the base 64 of 32 bytes.
    case invalidKey(id: String)

    package var description: String {
        switch self {
        case .noKeys: "no master key"
        case .notAnEntry(let place): "entry \(place) is not id:base64-key"
        case .invalidID(let place): "entry \(place) has an id that is not 1-32 letters, digits, _ or -"
        case .duplicateID(let id): "key id \(id) stands twice"
        case .invalidKey(let id): "key \(id) is not the base64 of 32 bytes"
        }
    }
}

/// The key that seals, and the others that still open.
///
/// While a key is replaced, which one seals depends on what the other processes can open: all copies of a ring seal with
/// the key that was chosen last.
package struct MasterKeyRing: Sendable {
    private struct Entry: Sendable {
        let id: String
        let key: Secret32
    }
    private final class Choice: Sendable { let index = Atomic(0) }

    private let entries: [Entry]
    private let choice = Choice()

    /// Reads `id:base64key` entries separated by commas or white space; the first one seals until another is chosen.
    /// - Throws: the first fault.
    package init(_ text: String) throws(MasterKeyFault) {
        var entries: [Entry] = []
        let parts = text.split { $0 == "," || $0.isWhitespace }
        for (index, part) in parts.enumerated() {
            let pair = part.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2 else { throw .notAnEntry(index + 1) }
            let id = String(pair[0])
            guard SealedBox.isKeyID(id) else { throw .invalidID(index + 1) }
            guard !entries.contains(where: { $0.id == id }) else { throw .duplicateID(id) }
            guard let bytes = Base64.decode(pair[1]), let key = Secret32(bytes) else { throw .invalidKey(id: id) }
            entries.append(Entry(id: id, key: key))
        }
        guard !entries.isEmpty else { throw .noKeys }
        self.entries = entries
    }

    /// From now on this key seals, in every copy of this ring. One that is not in it changes nothing.
    package func seal(with id: String) {
        guard let index = entries.firstIndex(where: { $0.id == id }) else { return }
        choice.index.store(index, ordering: .relaxed)
    }

    /// The id of the key that seals.
    package var currentID: String { entries[choice.index.load(ordering: .relaxed)].id }
    /// The ids of all keys that open, as they were given: the one that shall seal first.
    package var ids: [String] { entries.map(\.id) }

    internal var current: (id: String, key: [UInt8]) {
        let entry = entries[choice.index.load(ordering: .relaxed)]
        return (entry.id, entry.key.bytes)
    }
    internal func key(_ id: String) -> [UInt8]? { entries.first { $0.id == id }?.key.bytes }
}

extension MasterKeyRing: CustomStringConvertible, CustomReflectable {
    package var description: String { "master keys \(ids.joined(separator: ", "))" }
    package var customMirror: Mirror { Mirror(self, children: ["ids": ids]) }
}

/// 32 bytes of key without a printable form.
private struct Secret32: Sendable, CustomStringConvertible, CustomReflectable {
    let bytes: [UInt8]

    init?(_ bytes: [UInt8]) {
        guard bytes.count == AESGCM.keyBytes else { return nil }
        self.bytes = bytes
    }

    var description: String { Secret.mask }
    var customMirror: Mirror { Mirror(self, children: [(label: String?, value: Any)]()) }
}
