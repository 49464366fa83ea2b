/// The origin of a web page as an `Origin` field has it (RFC 6454, section 7).
package enum WebOrigin {
    /// Whether the text is a scheme, a host and perhaps a port, in small letters, and nothing else.
    package static func isValid(_ text: String) -> Bool {
        guard let separator = text.firstRange(of: "://") else { return false }
        let (scheme, host) = (text[..<separator.lowerBound], text[separator.upperBound...])
        return ["http", "https"].contains(scheme) && !host.isEmpty
            && host.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x61...0x7a, UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: ":"),
                    UInt8(ascii: "["), UInt8(ascii: "]"):
                    true
                default: false
                }
            }
    }
}
