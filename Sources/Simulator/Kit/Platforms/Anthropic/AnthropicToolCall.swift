import Formats

/// A tool call that an answer makes.
package struct AnthropicToolCall: Equatable {
    package var name: String
    /// A JSON object that fits the tool's schema.
    package var input: [UInt8]

    /// Which tools a request wants called.
    ///
    /// `tool_choice` of type `tool` or `any` does; else the user's text, which says `use tool NAME`, once for each tool
    /// that is to be called, or `use all tools`; else `extra`, the number of the control word. After tool results only
    /// the control word and the text count. `disable_parallel_tool_use` leaves the first one.
    static func wanted(
        by root: JSONValue,
        userText: String,
        hasResults: Bool,
        extra: Int?
    ) throws(AnthropicRefusal) -> [AnthropicToolCall] {
        let choice = root["tool_choice"]
        let kind = choice?["type"]?.string
        let tools = root["tools"].map { Array($0.elements) } ?? []
        let named = Dictionary(
            tools.compactMap { tool in tool["name"]?.string.map { ($0, tool) } },
            uniquingKeysWith: { first, _ in first }
        )
        if let choice, !choice.isNull, !["auto", "any", "tool", "none"].contains(kind) {
            throw AnthropicRefusal(
                "tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'"
            )
        }
        var names: [String] = []
        if kind == "tool" {
            let name = try AnthropicRequest.text(choice?["name"], "tool_choice.tool.name")
            guard named[name] != nil else {
                throw AnthropicRefusal("Tool '\(name)' not found in provided tools")
            }
            if !hasResults { names = [name] }
        } else if kind == "any" || kind == "none" {
            guard kind == "none" || !tools.isEmpty else {
                throw AnthropicRefusal("tool_choice.any may only be specified while providing tools")
            }
        }
        guard kind != "none" else { return [] }
        let all = tools.compactMap { $0["name"]?.string }
        if names.isEmpty { names = asked(in: userText, among: all) }
        if names.isEmpty, let extra, !all.isEmpty, !hasResults { names = (0..<extra).map { all[$0 % all.count] } }
        if names.isEmpty, kind == "any", !hasResults { names = Array(all.prefix(1)) }
        if choice?["disable_parallel_tool_use"]?.bool == true { names = Array(names.prefix(1)) }
        return names.map { name in
            let schema = named[name]?["input_schema"]
            return AnthropicToolCall(name: name, input: schema.map { JSONSample.value(of: $0) } ?? Array("{}".utf8))
        }
    }

    /// The tools whose names follow `use tool`, in the order of the text.
    static func asked(in text: String, among names: [String]) -> [String] {
        if text.firstRange(of: "use all tools") != nil { return names }
        var found: [String] = []
        var rest = text[...]
        while found.count < 64, let mention = rest.firstRange(of: "use tool ") {
            rest = rest[mention.upperBound...]
            let name = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" }
            if names.contains(String(name)) { found.append(String(name)) }
        }
        return found
    }
}
