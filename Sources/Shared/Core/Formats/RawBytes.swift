import Glibc

extension UnsafeRawBufferPointer {
    /// Whether these are exactly the bytes of a text.
    package func equals(_ text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount && starts(with: text)
    }

    /// Whether these are exactly the bytes of others.
    package func equals(_ bytes: [UInt8]) -> Bool {
        guard count == bytes.count, let baseAddress else { return count == bytes.count }
        return bytes.withUnsafeBytes { $0.baseAddress.map { memcmp(baseAddress, $0, count) == 0 } ?? false }
    }

    /// Where a byte stands first.
    package func place(of byte: UInt8) -> Int? {
        guard let baseAddress, let found = memchr(baseAddress, Int32(byte), count) else { return nil }
        return UnsafeRawPointer(found) - baseAddress
    }

    internal func contains(byte: UInt8) -> Bool {
        guard let baseAddress else { return false }
        return memchr(baseAddress, Int32(byte), count) != nil
    }

    internal func starts(with text: StaticString) -> Bool {
        guard count >= text.utf8CodeUnitCount, let baseAddress else { return text.utf8CodeUnitCount == 0 }
        return memcmp(baseAddress, text.utf8Start, text.utf8CodeUnitCount) == 0
    }

    internal func starts(with text: String) -> Bool {
        var text = text
        return text.withUTF8 { text in
            guard count >= text.count, let baseAddress, let start = text.baseAddress else { return text.isEmpty }
            return memcmp(baseAddress, start, text.count) == 0
        }
    }
}
