/// Ids of tool calls, which one upstream makes and another may have to read.
package enum ToolIDs {
    /// The same id where every dialect takes it (letters, digits, `_`, `-`); else with `_` for what is not allowed.
    package static func sanitized(_ id: String) -> String {
        if id.isEmpty { return "_" }
        guard id.utf8.contains(where: { !isAllowed($0) }) else { return id }
        return String(decoding: id.utf8.map { isAllowed($0) ? $0 : UInt8(ascii: "_") }, as: UTF8.self)
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "_"), UInt8(ascii: "-"): true
        default: false
        }
    }
}
