import Formats

/// The session id that Claude Code sends in `metadata.user_id`.
///
/// Older versions write `user_<hash>_account_<uuid>_session_<uuid>`, newer ones a JSON text with the member
/// `session_id`.
enum SessionID {
    /// Longer ones are none.
    static let longest = 256
    private static let marker: StaticString = "_session_"
    private static let uuidLength = 36

    /// Lends the id within a user id; nil when there is none.
    static func read<Result>(
        in userID: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result? {
        if userID.first == UInt8(ascii: "{") { return try readJSON(userID, body) }
        let start = userID.count - uuidLength
        let mark = start - marker.utf8CodeUnitCount
        guard mark >= 0, UnsafeRawBufferPointer(rebasing: userID[mark..<start]).equals(marker) else { return nil }
        let id = UnsafeRawBufferPointer(rebasing: userID[start...])
        return isUUID(id) ? try body(id) : nil
    }

    /// Whether an id that the caller made up can name a session.
    static func isUsable(_ id: UnsafeRawBufferPointer) -> Bool { (1...longest).contains(id.count) }

    private static func readJSON<Result>(
        _ text: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result? {
        guard text.count <= 16 * longest else { return nil }
        // A parser of its own: this text stands within a document that another one may hold.
        guard
            let id = try? JSONParser(maximumDepth: 8).parse(
                text,
                { document in document.root["session_id"]?.stringBytes.map { Array($0) } }
            )
        else { return nil }
        return try id.withUnsafeBytes { isUsable($0) ? try body($0) : nil }
    }

    private static func isUUID(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.indices.allSatisfy { index in
            switch index {
            case 8, 13, 18, 23: bytes[index] == UInt8(ascii: "-")
            default: isHexDigit(bytes[index])
            }
        }
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte | 0x20)
    }
}
