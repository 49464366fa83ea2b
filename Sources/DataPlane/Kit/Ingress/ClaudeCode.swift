package import HTTPMessages

/// Claude Code as callers of it are told: by `User-Agent: claude-cli/x.y.z`, in any case, whatever follows.
package enum ClaudeCode {
    private static let name = Array("claude-cli/".utf8)

    package static func isCaller(_ headers: HeaderFields) -> Bool {
        headers.withValue("user-agent") { isCaller(userAgent: $0) } ?? false
    }

    package static func isCaller(userAgent: UnsafeRawBufferPointer) -> Bool {
        guard userAgent.count > name.count else { return false }
        for (byte, expected) in zip(userAgent, name) where byte != expected {
            // Letters differ by one bit in their case; nothing else may differ.
            guard byte | 0x20 == expected, (0x41...0x5a).contains(byte) else { return false }
        }
        var numbers = 0
        var digits = 0
        for byte in userAgent.dropFirst(name.count) {
            if (0x30...0x39).contains(byte) {
                digits += 1
                continue
            }
            guard digits > 0 else { return false }
            numbers += 1
            digits = 0
            if numbers == 3 { return true }
            guard byte == UInt8(ascii: ".") else { return false }
        }
        return digits > 0 && numbers == 2
    }
}
