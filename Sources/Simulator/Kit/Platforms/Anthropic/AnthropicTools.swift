import Formats

/// Reads which tools a body of the Messages API offers and wants called.
enum AnthropicTools {
    static func wanted(
        by root: JSONValue,
        userText: String,
        hasResults: Bool,
        extra: Int?
    ) throws(Refusal) -> [ToolCall] {
        var tools: [OfferedTool] = []
        for tool in root["tools"].items {
            guard let name = tool["name"]?.string else { continue }
            tools.append(OfferedTool(name: name, schema: tool["input_schema"]))
        }
        let choice = root["tool_choice"]
        return ToolCall.wanted(
            from: tools,
            choice: try read(choice, tools),
            isParallel: choice?["disable_parallel_tool_use"]?.bool != true,
            userText: userText,
            hasResults: hasResults,
            extra: extra
        )
    }

    private static func read(_ choice: JSONValue?, _ tools: [OfferedTool]) throws(Refusal) -> ToolChoice {
        guard let choice, !choice.isNull else { return .auto }
        switch choice["type"]?.string {
        case "auto": return .auto
        case "none": return .none
        case "any":
            guard !tools.isEmpty else {
                throw Refusal("tool_choice.any may only be specified while providing tools")
            }
            return .any
        case "tool":
            let name = try AnthropicRequest.text(choice["name"], "tool_choice.tool.name")
            guard tools.contains(where: { $0.name == name }) else {
                throw Refusal("Tool '\(name)' not found in provided tools")
            }
            return .named(name)
        default:
            throw Refusal(
                "tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'"
            )
        }
    }
}
