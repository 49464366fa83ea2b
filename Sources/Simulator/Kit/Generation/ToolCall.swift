import Formats

/// A tool that a request offers, whatever its dialect.
struct OfferedTool {
    var name: String
    /// JSON Schema of the arguments.
    var schema: JSONValue?
}

/// What a request says about calling tools.
enum ToolChoice: Equatable {
    case auto, any, none
    case named(String)
}

/// A tool call that an answer makes.
package struct ToolCall: Equatable {
    package var name: String
    /// A JSON object that fits the tool's schema.
    package var input: [UInt8]

    /// Which tools a request wants called.
    ///
    /// The choice of a tool, or of any, does; else the user's text, which says `use tool NAME`, once for each tool
    /// that is to be called, or `use all tools`; else `extra`, the number of the control word. After tool results only
    /// the text counts.
    static func wanted(
        from tools: [OfferedTool],
        choice: ToolChoice,
        isParallel: Bool,
        userText: String,
        hasResults: Bool,
        extra: Int?
    ) -> [ToolCall] {
        guard choice != .none, !tools.isEmpty else { return [] }
        let all = tools.map(\.name)
        var names: [String] = []
        if case .named(let name) = choice, !hasResults { names = [name] }
        if names.isEmpty { names = asked(in: userText, among: all) }
        if names.isEmpty, let extra, !hasResults { names = (0..<extra).map { all[$0 % all.count] } }
        if names.isEmpty, choice == .any, !hasResults { names = Array(all.prefix(1)) }
        if !isParallel { names = Array(names.prefix(1)) }
        return names.map { name in
            let schema = tools.first { $0.name == name }?.schema
            return ToolCall(name: name, input: schema.map { JSONSample.value(of: $0) } ?? Array("{}".utf8))
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
