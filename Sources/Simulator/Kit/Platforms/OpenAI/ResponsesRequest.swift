import Formats

/// A body of `/v1/responses`, checked as the API checks it, and what an answer needs of it.
struct ResponsesRequest {
    private(set) var asked: GenerationRequest
    private(set) var echo = Echo()

    /// What the answer repeats of the request.
    struct Echo {
        var instructions: String?
        var previousID: String?
        var maxTokens: Int?
        var isStored = true
        var isParallel = true
        var effort: String?
        var summary: String?
        /// JSON, as it came.
        var tools: [UInt8] = Array("[]".utf8)
        var toolChoice: [UInt8] = Array("\"auto\"".utf8)
        var format: [UInt8] = Array("{\"type\":\"text\"}".utf8)
        /// Whether reasoning is to come with what lets it be sent back.
        var includesEncryptedReasoning = false
    }

    private let document: JSONDocument
    private var openCalls: [String] = []

    init(
        _ document: JSONDocument,
        previous: (String) -> StoredResponse?,
        isSubscription: Bool,
        owner: String,
        toolCalls: Int?
    ) throws(Refusal) {
        self.document = document
        asked = GenerationRequest(owner: owner)
        asked.prompt.isCachedUnasked = true
        let root = document.root
        asked.model = try OpenAIMembers.model(root)
        try readSettings(root)
        if isSubscription { try checkSubscription(root) }
        let tools = try readTools(root)
        if let id = root["previous_response_id"]?.string {
            guard let response = previous(id) else {
                throw Refusal(
                    "Previous response with id '\(id)' not found.",
                    param: "previous_response_id",
                    code: "previous_response_not_found"
                )
            }
            echo.previousID = id
            openCalls = response.openCalls
            response.body.withUnsafeBytes { asked.prompt.add($0, countingAs: response.promptBytes) }
        }
        if let instructions = root["instructions"], !instructions.isNull {
            guard let text = instructions.string else { throw OpenAIMembers.wrongType("instructions", "a string") }
            echo.instructions = text
            asked.prompt.add(text)
        }
        try readInput(root["input"])
        let choice = root["tool_choice"]
        asked.calls = ToolCall.wanted(
            from: tools,
            choice: try OpenAIMembers.choice(choice, name: choice?["name"]?.string, tools),
            isParallel: echo.isParallel,
            userText: asked.lastUserText,
            hasResults: !asked.toolResults.isEmpty,
            extra: toolCalls
        )
    }

    private mutating func readSettings(_ root: JSONValue) throws(Refusal) {
        asked.isStream = try OpenAIMembers.flag(root, "stream") ?? false
        echo.isStored = try OpenAIMembers.flag(root, "store") ?? true
        echo.isParallel = try OpenAIMembers.flag(root, "parallel_tool_calls") ?? true
        try OpenAIMembers.checkSampling(root)
        asked.maxTokens = try OpenAIMembers.count(root, "max_output_tokens", from: 16)
        echo.maxTokens = asked.maxTokens
        echo.effort = root["reasoning"]?["effort"]?.string
        echo.summary = root["reasoning"]?["summary"]?.string
        asked.isThinking = OpenAIMembers.thinks(root["reasoning"]?["effort"]) || echo.summary != nil
        asked.showsThinking = echo.summary != nil
        echo.includesEncryptedReasoning = root["include"].items.contains { $0.equals("reasoning.encrypted_content") }
        if let format = root["text"]?["format"] {
            echo.format = Array(document.bytes(of: format))
            asked.structuredAnswer = OpenAIMembers.structured(format, schema: format["schema"])
        }
    }

    /// What the backend of ChatGPT's subscriptions asks for besides.
    private func checkSubscription(_ root: JSONValue) throws(Refusal) {
        func refuse(_ message: String) -> Refusal { Refusal(message, code: "detail") }
        guard root["instructions"]?.isString == true else { throw refuse("Instructions are required") }
        guard root["store"]?.bool == false else { throw refuse("Store must be set to false") }
        guard asked.isStream else { throw refuse("Stream must be set to true") }
        guard root["input"]?.isArray == true else { throw refuse("Input must be a list") }
        for name: StaticString in ["max_output_tokens", "previous_response_id", "temperature", "top_p"]
        where root[name] != nil {
            throw refuse("Unsupported parameter: \(name)")
        }
    }

    private mutating func readTools(_ root: JSONValue) throws(Refusal) -> [OfferedTool] {
        var tools: [OfferedTool] = []
        for (index, tool) in root["tools"].items.enumerated() {
            asked.prompt.add(document.bytes(of: tool))
            guard let type = tool["type"]?.string else { throw OpenAIMembers.missing("tools[\(index)].type") }
            guard type == "function" else { continue }
            guard let name = tool["name"]?.string else { throw OpenAIMembers.missing("tools[\(index)].name") }
            tools.append(OfferedTool(name: name, schema: tool["parameters"]))
        }
        if let list = root["tools"], list.isArray { echo.tools = Array(document.bytes(of: list)) }
        if let choice = root["tool_choice"], !choice.isNull { echo.toolChoice = Array(document.bytes(of: choice)) }
        return tools
    }

    // MARK: Input

    private mutating func readInput(_ input: JSONValue?) throws(Refusal) {
        guard let input, !input.isNull else { throw OpenAIMembers.missing("input") }
        if let text = input.stringBytes {
            asked.prompt.add(text)
            asked.lastUserText = String(decoding: text, as: UTF8.self)
                .prefixOfUTF8(GenerationRequest.mostEchoedBytes)
            asked.prompt.mark(.fiveMinutes)
            return try checkCalls()
        }
        guard input.isArray else { throw OpenAIMembers.wrongType("input", "one of a string or array") }
        guard input.count > 0 || echo.previousID != nil else {
            throw Refusal("Invalid 'input': empty array.", param: "input", code: "empty_array")
        }
        for (index, item) in input.elements.enumerated() {
            try read(item, "input[\(index)]")
            asked.prompt.mark(.fiveMinutes)
        }
        try checkCalls()
    }

    private func checkCalls() throws(Refusal) {
        guard let call = openCalls.first else { return }
        throw Refusal("No tool output found for function call \(call).", param: "input")
    }

    private mutating func read(_ item: JSONValue, _ path: String) throws(Refusal) {
        switch item["type"]?.string ?? (item["role"] == nil ? nil : "message") {
        case "message": try readMessage(item, path)
        case "function_call":
            guard let id = item["call_id"]?.string else { throw OpenAIMembers.missing("\(path).call_id") }
            guard let arguments = item["arguments"]?.stringBytes else {
                throw OpenAIMembers.missing("\(path).arguments")
            }
            openCalls.append(id)
            asked.toolResults = []
            asked.prompt.add(arguments)
        case "function_call_output":
            guard let id = item["call_id"]?.string else { throw OpenAIMembers.missing("\(path).call_id") }
            guard let call = openCalls.firstIndex(of: id) else {
                throw Refusal("No tool call found for function call output with call_id \(id).", param: "input")
            }
            openCalls.remove(at: call)
            asked.take(result: try content(item["output"], "\(path).output"), of: id)
        case "reasoning":
            let summary = item["summary"].items.compactMap { $0["text"]?.string }.joined()
            if let encrypted = item["encrypted_content"]?.string, encrypted != Generation.signature(of: summary) {
                throw Refusal(
                    "The encrypted content \(encrypted.prefixOfUTF8(8))... could not be verified.",
                    code: "invalid_encrypted_content"
                )
            }
        case nil: throw Refusal("Invalid value: ''.", param: path, code: "invalid_value")
        // A kind of item this simulator has nothing to say about; it counts as its JSON.
        case _?: asked.prompt.add(document.bytes(of: item))
        }
    }

    private mutating func readMessage(_ message: JSONValue, _ path: String) throws(Refusal) {
        let text = try content(message["content"], "\(path).content")
        switch message["role"]?.string {
        case "user":
            asked.lastUserText = text.prefixOfUTF8(GenerationRequest.mostEchoedBytes)
            asked.toolResults = []
        case "assistant": asked.toolResults = []
        case "system", "developer": break
        case let role:
            throw Refusal(
                "Invalid value: '\(role ?? "")'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
                param: "\(path).role",
                code: "invalid_value"
            )
        }
    }

    /// The texts of an item, one a line.
    private mutating func content(_ content: JSONValue?, _ path: String) throws(Refusal) -> String {
        guard let content else { throw OpenAIMembers.missing(path) }
        if let text = content.stringBytes {
            asked.prompt.add(text)
            return String(decoding: text, as: UTF8.self)
        }
        guard content.isArray else { throw OpenAIMembers.wrongType(path, "one of a string or array") }
        var texts: [String] = []
        for (index, part) in content.elements.enumerated() {
            switch part["type"]?.string {
            case "input_text", "output_text", "refusal", "text":
                guard let text = (part["text"] ?? part["refusal"])?.stringBytes else {
                    throw OpenAIMembers.missing("\(path)[\(index)].text")
                }
                asked.prompt.add(text)
                texts.append(String(decoding: text, as: UTF8.self))
            case "input_image":
                guard (part["image_url"] ?? part["file_id"])?.isString == true else {
                    throw OpenAIMembers.missing("\(path)[\(index)].image_url")
                }
                asked.prompt.add(document.bytes(of: part), countingAs: Prompt.imageBytes)
            case "input_file", "input_audio":
                asked.prompt.add(document.bytes(of: part), countingAs: Prompt.fileBytes)
            case let type:
                throw Refusal(
                    "Invalid value: '\(type ?? "")'. Supported values are: 'input_text', 'input_image', 'output_text',"
                        + " 'refusal', 'input_file', and 'input_audio'.",
                    param: "\(path)[\(index)].type",
                    code: "invalid_value"
                )
            }
        }
        return texts.joined(separator: "\n")
    }
}
