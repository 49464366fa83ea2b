import Formats

/// A body of `/v1/chat/completions`, checked as the API checks it, and what an answer needs of it.
struct ChatRequest {
    private(set) var asked: GenerationRequest
    /// Whether a stream is to report its usage.
    private(set) var includesUsage = false

    private let document: JSONDocument
    private var openCalls: [String] = []

    init(_ document: JSONDocument, owner: String, toolCalls: Int?) throws(Refusal) {
        self.document = document
        asked = GenerationRequest(owner: owner)
        asked.prompt.isCachedUnasked = true
        asked.countsWebSearches = false
        let root = document.root
        asked.model = try OpenAIMembers.model(root)
        try readSettings(root)
        var tools: [OfferedTool] = []
        for (index, tool) in root["tools"].items.enumerated() {
            guard let function = tool["function"], let name = function["name"]?.string else {
                throw OpenAIMembers.missing("tools[\(index)].function.name")
            }
            tools.append(OfferedTool(name: name, schema: function["parameters"]))
            asked.prompt.add(document.bytes(of: tool))
        }
        try readMessages(root["messages"])
        let choice = root["tool_choice"]
        asked.calls = ToolCall.wanted(
            from: tools,
            choice: try OpenAIMembers.choice(choice, name: choice?["function"]?["name"]?.string, tools),
            isParallel: root["parallel_tool_calls"]?.bool != false,
            userText: asked.lastUserText,
            hasResults: !asked.toolResults.isEmpty,
            extra: toolCalls
        )
    }

    private mutating func readSettings(_ root: JSONValue) throws(Refusal) {
        asked.isStream = try OpenAIMembers.flag(root, "stream") ?? false
        if let options = root["stream_options"], !options.isNull {
            guard asked.isStream else {
                throw Refusal(
                    "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
                    param: "stream_options"
                )
            }
            includesUsage = options["include_usage"]?.bool ?? false
        }
        try OpenAIMembers.checkSampling(root)
        asked.maxTokens = try OpenAIMembers.count(root, "max_completion_tokens")
        if asked.maxTokens == nil { asked.maxTokens = try OpenAIMembers.count(root, "max_tokens") }
        if let stop = root["stop"], !stop.isNull {
            if let text = stop.string {
                asked.stopSequences = [text]
            } else {
                asked.stopSequences = root["stop"].items.compactMap(\.string)
                guard stop.isArray, asked.stopSequences.count <= 4 else {
                    throw OpenAIMembers.wrongType("stop", "a string or up to four of them")
                }
            }
        }
        // The dialect has no place for thinking: it is paid for, and not shown.
        asked.isThinking = OpenAIMembers.thinks(root["reasoning_effort"])
        asked.showsThinking = false
        let format = root["response_format"]
        asked.structuredAnswer = OpenAIMembers.structured(format, schema: format?["json_schema"]?["schema"])
    }

    // MARK: Messages

    private mutating func readMessages(_ messages: JSONValue?) throws(Refusal) {
        guard let messages, !messages.isNull else { throw OpenAIMembers.missing("messages") }
        guard messages.isArray else { throw OpenAIMembers.wrongType("messages", "an array of objects") }
        guard messages.count > 0 else {
            throw Refusal(
                "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array"
                    + " instead.",
                param: "messages",
                code: "empty_array"
            )
        }
        for (index, message) in messages.elements.enumerated() {
            try read(message, index)
            asked.prompt.mark(.fiveMinutes)
        }
        guard openCalls.isEmpty else { throw unanswered(messages.count) }
    }

    private mutating func read(_ message: JSONValue, _ index: Int) throws(Refusal) {
        let path = "messages[\(index)]"
        guard let role = message["role"]?.string else { throw OpenAIMembers.missing("\(path).role") }
        guard role == "tool" || openCalls.isEmpty else { throw unanswered(index) }
        let text = try content(message["content"], role: role, path)
        switch role {
        case "system", "developer": break
        case "user":
            asked.lastUserText = text.prefixOfUTF8(GenerationRequest.mostEchoedBytes)
            asked.toolResults = []
        case "assistant":
            asked.toolResults = []
            for (number, call) in message["tool_calls"].items.enumerated() {
                let path = "\(path).tool_calls[\(number)]"
                guard let id = call["id"]?.string else { throw OpenAIMembers.missing("\(path).id") }
                guard let arguments = call["function"]?["arguments"]?.stringBytes else {
                    throw OpenAIMembers.missing("\(path).function.arguments")
                }
                openCalls.append(id)
                asked.prompt.add(arguments)
            }
        case "tool":
            guard let id = message["tool_call_id"]?.string else { throw OpenAIMembers.missing("\(path).tool_call_id") }
            guard let call = openCalls.firstIndex(of: id) else {
                throw Refusal(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with"
                        + " 'tool_calls'.",
                    param: "messages.[\(index)].role"
                )
            }
            openCalls.remove(at: call)
            asked.take(result: text, of: id)
        default:
            throw Refusal(
                "Invalid value: '\(role)'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool',"
                    + " and 'developer'.",
                param: "\(path).role",
                code: "invalid_value"
            )
        }
    }

    private func unanswered(_ index: Int) -> Refusal {
        Refusal(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
                + " 'tool_call_id'. The following tool_call_ids did not have response messages:"
                + " \(openCalls.joined(separator: ", "))",
            param: "messages.[\(index)].role"
        )
    }

    /// The texts of a message, one a line.
    private mutating func content(_ content: JSONValue?, role: String, _ path: String) throws(Refusal) -> String {
        guard let content, !content.isNull else {
            guard role == "assistant" else {
                throw Refusal(
                    "Invalid value for 'content': expected a string, got null.",
                    param: "\(path).content"
                )
            }
            return ""
        }
        if let text = content.stringBytes {
            asked.prompt.add(text)
            return String(decoding: text, as: UTF8.self)
        }
        guard content.isArray else { throw OpenAIMembers.wrongType("\(path).content", "one of a string or array") }
        var texts: [String] = []
        for (index, part) in content.elements.enumerated() {
            let path = "\(path).content[\(index)]"
            switch part["type"]?.string {
            case "text", "refusal":
                guard let text = (part["text"] ?? part["refusal"])?.stringBytes else {
                    throw OpenAIMembers.missing("\(path).text")
                }
                asked.prompt.add(text)
                texts.append(String(decoding: text, as: UTF8.self))
            case "image_url":
                guard let url = part["image_url"]?["url"]?.stringBytes else {
                    throw OpenAIMembers.missing("\(path).image_url.url")
                }
                asked.prompt.add(url, countingAs: Prompt.imageBytes)
            case "input_audio", "file": asked.prompt.add(document.bytes(of: part), countingAs: Prompt.fileBytes)
            case let type:
                throw Refusal(
                    "Invalid value: '\(type ?? "")'. Supported values are: 'text', 'image_url', 'input_audio',"
                        + " 'refusal', and 'file'.",
                    param: "\(path).type",
                    code: "invalid_value"
                )
            }
        }
        return texts.joined(separator: "\n")
    }
}
