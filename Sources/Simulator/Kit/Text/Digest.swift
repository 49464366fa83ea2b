/// A 64-bit digest of bytes: FNV-1a over little-endian words of eight bytes, the last one filled with zeros, and then
/// over the number of bytes as one more word. Not cryptographic; anybody can compute it in three lines.
package struct Digest: Hashable, Sendable {
    package private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325
    private var word: UInt64 = 0
    private var count: UInt64 = 0

    package init() {}

    package init(_ bytes: some Collection<UInt8>) {
        self.init()
        if bytes.withContiguousStorageIfAvailable({ update(UnsafeRawBufferPointer($0)) }) == nil {
            Array(bytes).withUnsafeBytes { update($0) }
        }
    }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var at = 0
        while at < bytes.count, count & 7 != 0 {
            push(bytes[at])
            at += 1
        }
        while at + 8 <= bytes.count {
            mix(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)))
            count &+= 8
            at += 8
        }
        while at < bytes.count {
            push(bytes[at])
            at += 1
        }
    }

    package mutating func update(_ text: String) {
        var text = text
        text.withUTF8 { update(UnsafeRawBufferPointer($0)) }
    }

    /// The digest of everything so far; more may follow.
    package var final: UInt64 {
        var copy = self
        if copy.count & 7 != 0 { copy.mix(copy.word) }
        copy.mix(copy.count)
        return copy.value
    }

    /// `final` as 16 hexadecimal digits.
    package var hex: String { Self.hex(final) }

    package static func hex(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private mutating func push(_ byte: UInt8) {
        word |= UInt64(byte) << (8 * (count & 7))
        count &+= 1
        if count & 7 == 0 {
            mix(word)
            word = 0
        }
    }

    private mutating func mix(_ word: UInt64) { value = (value ^ word) &* 0x0000_0100_0000_01b3 }
}
