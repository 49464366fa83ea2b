import Formats

extension Base64 {
    /// Whether a text is what `decode` accepts, without decoding it.
    package static func isValid(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            guard bytes.count % 4 == 0 else { return false }
            var end = bytes.count
            while end > 0, bytes.count - end < 2, bytes[end - 1] == UInt8(ascii: "=") { end -= 1 }
            var isValid = true
            for byte in bytes[..<end] {
                switch byte {
                case 0x41...0x5A, 0x61...0x7A, 0x30...0x39, UInt8(ascii: "+"), UInt8(ascii: "/"): break
                default: isValid = false
                }
            }
            return isValid
        }
    }
}
