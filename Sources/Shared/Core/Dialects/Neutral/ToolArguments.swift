package import Formats

/// The argument texts of tool calls, which models write and callers repeat.
package enum ToolArguments {
    /// The object that a text amounts to: itself, `{}` for nothing, and else an object with the text as `_raw`.
    ///
    /// A model may break off in the middle of its arguments (`max_tokens`), so not every text is JSON; dialects
    /// that take an object need one all the same, and nothing of the text may be lost.
    package static func object(fromModel text: [UInt8], _ parser: JSONParser = JSONParser()) -> RawJSON {
        if text.allSatisfy({ $0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 }) { return .emptyObject }
        if let object = RawJSON(object: text, parser) { return object }
        var writer = JSONWriter(capacity: text.count + 16)
        writer.object { $0.member("_raw", String(decoding: text, as: UTF8.self)) }
        return RawJSON(trusted: writer.bytes)
    }

    package static func object(fromModel text: String, _ parser: JSONParser) -> RawJSON {
        object(fromModel: Array(text.utf8), parser)
    }
}
