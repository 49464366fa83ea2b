import Formats

/// A body of `:generateContent`, checked as the API checks it, and what an answer needs of it. Members may be written in
/// snake case, as everywhere in Google's APIs.
struct GeminiRequest {
    private(set) var asked: GenerationRequest

    private let document: JSONDocument
    private var tools: [OfferedTool] = []

    /// - Parameter root: the request itself, which may stand within another object.
    init(
        _ root: JSONValue,
        of document: JSONDocument,
        model: String,
        isStream: Bool,
        owner: String,
        toolCalls: Int?
    ) throws(Refusal) {
        self.document = document
        asked = GenerationRequest(owner: owner)
        asked.prompt.isCachedUnasked = true
        asked.countsCacheWrites = false
        asked.model = model
        asked.isStream = isStream
        guard root.isObject else { throw Refusal("Invalid JSON payload received. Expected an object.") }
        try readConfig(root.either("generationConfig", "generation_config"))
        try readTools(root)
        if let system = root.either("systemInstruction", "system_instruction"), !system.isNull {
            for part in system["parts"].items { if let text = part["text"]?.stringBytes { asked.prompt.add(text) } }
            asked.prompt.mark(.fiveMinutes)
        }
        try readContents(root["contents"])
        asked.calls = ToolCall.wanted(
            from: tools,
            choice: try choice(root.either("toolConfig", "tool_config")),
            isParallel: true,
            userText: asked.lastUserText,
            hasResults: !asked.toolResults.isEmpty,
            extra: toolCalls
        )
    }

    private mutating func readConfig(_ config: JSONValue?) throws(Refusal) {
        guard let config, !config.isNull else { return }
        guard config.isObject else { throw Self.wrongType("generation_config", "an object") }
        if let most = config.either("maxOutputTokens", "max_output_tokens"), !most.isNull {
            guard let number = most.int64 else {
                throw Self.wrongType("generation_config.max_output_tokens", "TYPE_INT32")
            }
            guard number >= 1, number <= Int32.max else {
                throw Refusal(
                    "Unable to submit request because it has a maxOutputTokens value of \(number) but the supported"
                        + " range is from 1 (inclusive) to 65537 (exclusive). Update the value and try again."
                )
            }
            asked.maxTokens = Int(number)
        }
        if let temperature = config["temperature"], !temperature.isNull {
            guard let number = temperature.double, (0...2).contains(number) else {
                throw Refusal("temperature must be in the range [0.0, 2.0].")
            }
        }
        asked.stopSequences = config.either("stopSequences", "stop_sequences").items.compactMap(\.string)
        guard asked.stopSequences.count <= 5 else { throw Refusal("At most 5 stop_sequences may be specified.") }
        if config.either("responseMimeType", "response_mime_type")?.equals("application/json") == true {
            let schema =
                config.either("responseSchema", "response_schema")
                ?? config.either("responseJsonSchema", "response_json_schema")
            asked.structuredAnswer = schema.map { JSONSample.value(of: $0) } ?? Array("{\"sim\":\"value\"}".utf8)
        }
        if let thinking = config.either("thinkingConfig", "thinking_config"), thinking.isObject {
            asked.showsThinking = thinking.either("includeThoughts", "include_thoughts")?.bool ?? false
            let budget = thinking.either("thinkingBudget", "thinking_budget")?.int64
            asked.isThinking = budget.map { $0 != 0 } ?? true
        }
    }

    private mutating func readTools(_ root: JSONValue) throws(Refusal) {
        for (index, tool) in root["tools"].items.enumerated() {
            asked.prompt.add(document.bytes(of: tool))
            let declarations = tool.either("functionDeclarations", "function_declarations").items
            for (number, declaration) in declarations.enumerated() {
                guard let name = declaration["name"]?.string, !name.isEmpty else {
                    throw Refusal(
                        "GenerateContentRequest.tools[\(index)].function_declarations[\(number)].name: [REQUIRED_FIELD_MISSING]"
                    )
                }
                let schema =
                    declaration["parameters"] ?? declaration.either("parametersJsonSchema", "parameters_json_schema")
                tools.append(OfferedTool(name: name, schema: schema))
            }
        }
    }

    private func choice(_ config: JSONValue?) throws(Refusal) -> ToolChoice {
        guard let calling = config?.either("functionCallingConfig", "function_calling_config") else { return .auto }
        switch calling["mode"]?.string?.uppercased() {
        case nil, "AUTO", "VALIDATED", "MODE_UNSPECIFIED": return .auto
        case "NONE": return .none
        case "ANY":
            let names = calling.either("allowedFunctionNames", "allowed_function_names").items.compactMap(\.string)
            guard let name = names.first else { return .any }
            guard tools.contains(where: { $0.name == name }) else {
                throw Refusal(
                    "allowed_function_names should be a subset of function_declarations in tools. '\(name)' is not found."
                )
            }
            return names.count == 1 ? .named(name) : .any
        case let mode?: throw Refusal("Invalid value at 'tool_config.function_calling_config.mode' (\(mode))")
        }
    }

    // MARK: Contents

    private mutating func readContents(_ contents: JSONValue?) throws(Refusal) {
        guard let contents, !contents.isNull else {
            throw Refusal("* GenerateContentRequest.contents: contents is not specified")
        }
        guard contents.isArray, contents.count > 0 else {
            throw Refusal("* GenerateContentRequest.contents: contents is not specified")
        }
        var openCalls: [String] = []
        for (index, content) in contents.elements.enumerated() {
            let role = content["role"]?.string ?? "user"
            guard role == "user" || role == "model" || role == "function" else {
                throw Refusal("Please use a valid role: user, model.")
            }
            let parts = content["parts"].items
            guard !parts.isEmpty else {
                throw Refusal("* GenerateContentRequest.contents[\(index)].parts: contents.parts must not be empty.")
            }
            var texts: [String] = []
            var calls: [String] = []
            var results: [(id: String, text: String)] = []
            for (number, part) in parts.enumerated() {
                let path = "GenerateContentRequest.contents[\(index)].parts[\(number)]"
                try read(part, path, &texts, &calls, &results)
            }
            if role == "model" {
                asked.toolResults = []
            } else {
                guard results.isEmpty || results.count == openCalls.count else {
                    throw Refusal(
                        "Please ensure that the number of function response parts is equal to the number of function"
                            + " call parts of the function call turn."
                    )
                }
                asked.lastUserText = texts.joined(separator: "\n").prefixOfUTF8(GenerationRequest.mostEchoedBytes)
                asked.toolResults = results
            }
            openCalls = calls
            asked.prompt.mark(.fiveMinutes)
        }
    }

    private mutating func read(
        _ part: JSONValue,
        _ path: String,
        _ texts: inout [String],
        _ calls: inout [String],
        _ results: inout [(id: String, text: String)]
    ) throws(Refusal) {
        let signature = part.either("thoughtSignature", "thought_signature")?.string
        if let text = part["text"]?.stringBytes {
            if part["thought"]?.bool != true { texts.append(String(decoding: text, as: UTF8.self)) }
            return asked.prompt.add(text)
        }
        if let call = part.either("functionCall", "function_call") {
            guard let name = call["name"]?.string else {
                throw Refusal("* \(path).function_call.name: [REQUIRED_FIELD_MISSING]")
            }
            guard signature.map({ GeminiAnswer.isSignature($0, of: name) }) ?? true else {
                throw Refusal("Thought signature is not valid")
            }
            calls.append(name)
            return asked.prompt.add(document.bytes(of: call))
        }
        if let result = part.either("functionResponse", "function_response") {
            guard let name = result["name"]?.string, let response = result["response"] else {
                throw Refusal("* \(path).function_response.name: [REQUIRED_FIELD_MISSING]")
            }
            asked.prompt.add(document.bytes(of: response))
            results.append((result["id"]?.string ?? name, Self.text(of: response, document)))
            return
        }
        if let data = part.either("inlineData", "inline_data") {
            guard let bytes = data["data"]?.stringBytes, data.either("mimeType", "mime_type")?.isString == true else {
                throw Refusal("* \(path).inline_data: required oneof field 'data' must have one initialized field")
            }
            guard Base64.decode(bytes) != nil || Base64.decode(bytes, .url) != nil else {
                throw Refusal("Invalid value at '\(path).inline_data.data' (TYPE_BYTES), Base64 decoding failed")
            }
            return asked.prompt.add(bytes, countingAs: Prompt.imageBytes)
        }
        if part.either("fileData", "file_data") != nil {
            return asked.prompt.add(document.bytes(of: part), countingAs: Prompt.fileBytes)
        }
        if signature != nil || part.isObject && part.count > 0 { return asked.prompt.add(document.bytes(of: part)) }
        throw Refusal("* \(path).data: required oneof field 'data' must have one initialized field")
    }

    /// The text of a result: that of its `output`, `result` or `content`, or its JSON.
    private static func text(of response: JSONValue, _ document: JSONDocument) -> String {
        let text = response["output"]?.string ?? response["result"]?.string ?? response["content"]?.string
        return text ?? String(decoding: document.bytes(of: response), as: UTF8.self)
    }

    private static func wrongType(_ path: String, _ type: String) -> Refusal {
        Refusal("Invalid value at '\(path)' (\(type))")
    }
}

extension JSONValue {
    /// A member that may be written in camel case or in snake case.
    func either(_ camel: StaticString, _ snake: StaticString) -> JSONValue? { self[camel] ?? self[snake] }
}
