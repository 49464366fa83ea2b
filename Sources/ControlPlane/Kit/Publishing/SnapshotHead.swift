/// How a signed text begins: its signature and the two numbers that order it among its like (`SnapshotCodec`).
package struct SnapshotHead: Hashable, Sendable {
    /// Bytes from the start of a text that hold its head for certain.
    package static let length = 200
    private static let signatureLength = 64

    package let signature: String
    package let first: Int64
    package let second: Int64

    /// - Returns: nil when the bytes do not begin like a signed text; what is behind the head does not matter.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count > Self.signatureLength, bytes[Self.signatureLength] == UInt8(ascii: " ") else { return nil }
        signature = String(decoding: bytes[..<Self.signatureLength], as: UTF8.self)
        // `{"format":1,"a":2,"b":3,`: the numbers behind the second and third colon.
        let numbers = bytes[(Self.signatureLength + 1)...].split(separator: UInt8(ascii: ":"), maxSplits: 3)
            .dropFirst().map { $0.prefix { $0 != UInt8(ascii: ",") } }
        guard numbers.count == 3, let first = Int64(String(decoding: numbers[1], as: UTF8.self)),
            let second = Int64(String(decoding: numbers[2], as: UTF8.self))
        else { return nil }
        self.first = first
        self.second = second
    }
}
