import Bytes
import Domain
import Formats

/// Reads requests of the Gemini API into the neutral form.
///
/// Dropped, because an answer without them is as good: `safetySettings` (every platform has its own), labels,
/// `mediaResolution`, seals on text, and fields not known here.
internal struct GeminiRequestDecoder {
    private static let elsewhere = "is not available on the platform that serves this key"

    private let root: FieldReader
    private let envelope: RequestEnvelope

    init(_ document: JSONDocument, _ envelope: RequestEnvelope, _ parser: JSONParser) throws {
        self.envelope = envelope
        let body = try FieldReader(document.root, "", RequestSource(document, .brackets, parser))
        let whole = try body.either("generateContentRequest", "generate_content_request")
        // Tokens are counted of contents, or of a whole request.
        if envelope.countsTokens, let request = try body.object(whole) {
            if body.has("contents") { throw body.fault(whole, "cannot stand beside contents") }
            root = request
        } else {
            root = body
        }
    }

    func decode() throws -> NeutralRequest {
        var request = NeutralRequest(model: envelope.model ?? "")
        request.isStream = envelope.isStream ?? false
        request.answer.isSSE = envelope.isSSE ?? true
        let cached = try root.either("cachedContent", "cached_content")
        if root.has(cached) { throw root.fault(cached, Self.elsewhere) }
        request.system = try system()
        request.messages = try GeminiContentDecoder(root).messages()
        try readTools(into: &request)
        try readToolConfig(into: &request)
        if let config = try root.object(try root.either("generationConfig", "generation_config")) {
            try readConfig(config, into: &request)
        }
        return request
    }

    private func system() throws -> [NeutralPart] {
        let key = try root.either("systemInstruction", "system_instruction")
        guard let value = root[key] else { return [] }
        if let text = value.string { return text.isEmpty ? [] : [.text(text)] }
        guard let content = try root.object(key) else { return [] }
        return try (content.objects("parts") ?? []).compactMap { part in
            guard let text = try part.string("text") else { throw part.fault("text", "field required") }
            return text.isEmpty ? nil : .text(text)
        }
    }

    // MARK: Tools

    private static let searches: [StaticString] = [
        "googleSearch", "google_search", "googleSearchRetrieval", "google_search_retrieval",
    ]

    /// When the model is to search is left to it: `dynamicRetrievalConfig` is a hint.
    private func search(_ options: FieldReader) throws -> NeutralWebSearch {
        var search = NeutralWebSearch()
        for (key, value) in options.value.members where !value.isNull {
            switch key.string {
            case "excludeDomains": search.blockedDomains = try options.strings("excludeDomains") ?? []
            case "exclude_domains": search.blockedDomains = try options.strings("exclude_domains") ?? []
            case "dynamicRetrievalConfig", "dynamic_retrieval_config": break
            default: throw TranslationFault("\(options.path).\(key.string.shown(64))", Self.elsewhere)
            }
        }
        return search
    }

    private func readTools(into request: inout NeutralRequest) throws {
        for tool in try root.objects("tools") ?? [] {
            for (key, value) in tool.value.members where !value.isNull {
                switch key.string {
                case "functionDeclarations", "function_declarations": break
                case "googleSearch", "google_search", "googleSearchRetrieval", "google_search_retrieval": break
                case "codeExecution", "code_execution": request.serverTools.append(.codeExecution)
                default: throw TranslationFault("\(tool.path).\(key.string.shown(64))", Self.elsewhere)
                }
            }
            for name in Self.searches {
                guard let options = try tool.object(name) else { continue }
                request.serverTools.append(.webSearch(try search(options)))
            }
            let declarations = try tool.either("functionDeclarations", "function_declarations")
            for function in try tool.objects(declarations) ?? [] {
                request.tools.append(
                    NeutralTool(
                        name: try function.requiredString("name"),
                        description: try function.string("description"),
                        parameters: try parameters(function)
                    )
                )
            }
        }
    }

    private func parameters(_ function: FieldReader) throws -> RawJSON? {
        let schema = try function.either("parametersJsonSchema", "parameters_json_schema")
        if let given = try function.rawObject(schema) {
            if function.has("parameters") { throw function.fault(schema, "cannot stand beside parameters") }
            return given
        }
        return try function.object("parameters").map { GeminiSchema.jsonSchema($0) }
    }

    private func readToolConfig(into request: inout NeutralRequest) throws {
        guard let config = try root.object(try root.either("toolConfig", "tool_config")),
            let calling = try config.object(try config.either("functionCallingConfig", "function_calling_config"))
        else { return }
        let allowed = try calling.strings(try calling.either("allowedFunctionNames", "allowed_function_names")) ?? []
        switch try calling.string("mode")?.uppercased() {
        case "ANY":
            request.toolChoice = .any
            if let only = allowed.first, allowed.count == 1 {
                request.toolChoice = .named(only)
            } else if !allowed.isEmpty {
                // No other dialect knows a choice among some; without the rest it is one among all.
                request.tools.removeAll { !allowed.contains($0.name) }
            }
        case "NONE": request.toolChoice = NeutralToolChoice.none
        case "AUTO", "VALIDATED", "MODE_UNSPECIFIED": request.toolChoice = .auto
        case nil: break
        default: throw calling.fault("mode", "must be AUTO, ANY, NONE or VALIDATED")
        }
    }

    // MARK: Generation

    private func readConfig(_ config: FieldReader, into request: inout NeutralRequest) throws {
        request.maxTokens = try config.int(
            try config.either("maxOutputTokens", "max_output_tokens"),
            in: 1...Int64(Int32.max)
        )
        request.temperature = try config.number("temperature", in: 0...2)
        request.topP = try config.number(try config.either("topP", "top_p"), in: 0...1)
        request.topK = try config.int(try config.either("topK", "top_k"))
        request.stopSequences = try config.strings(try config.either("stopSequences", "stop_sequences")) ?? []
        request.presencePenalty = try config.number(
            try config.either("presencePenalty", "presence_penalty"),
            in: -2...2
        )
        request.frequencyPenalty = try config.number(
            try config.either("frequencyPenalty", "frequency_penalty"),
            in: -2...2
        )
        request.seed = try config.int("seed", in: Int64(Int32.min)...Int64(Int32.max))
        try refuseWhatOnlyGeminiHas(config)
        request.responseFormat = try responseFormat(config)
        let thinking = try config.either("thinkingConfig", "thinking_config")
        request.reasoning = try config.object(thinking).map(reasoning)
    }

    private func refuseWhatOnlyGeminiHas(_ config: FieldReader) throws {
        let count = try config.either("candidateCount", "candidate_count")
        if let wanted = try config.int(count), wanted > 1 { throw config.fault(count, "must be 1 here") }
        let modalities = try config.either("responseModalities", "response_modalities")
        for modality in try config.strings(modalities) ?? [] where modality.uppercased() != "TEXT" {
            throw config.fault(modalities, "may only hold TEXT here")
        }
        let logprobs = try config.either("responseLogprobs", "response_logprobs")
        if try config.bool(logprobs) == true { throw config.fault(logprobs, Self.elsewhere) }
    }

    private func responseFormat(_ config: FieldReader) throws -> NeutralResponseFormat {
        let type = try config.either("responseMimeType", "response_mime_type")
        switch try config.string(type) {
        case nil, "", "text/plain": return .text
        case "application/json": break
        default: throw config.fault(type, "must be text/plain or application/json here")
        }
        let asJSONSchema = try config.either("responseJsonSchema", "response_json_schema")
        let asSchema = try config.either("responseSchema", "response_schema")
        if let schema = try config.rawObject(asJSONSchema) {
            if config.has(asSchema) { throw config.fault(asJSONSchema, "cannot stand beside responseSchema") }
            return .jsonSchema(name: nil, description: nil, schema: schema, isStrict: nil)
        }
        guard let schema = try config.object(asSchema) else { return .jsonObject }
        let converted = GeminiSchema.jsonSchema(schema)
        return .jsonSchema(name: nil, description: nil, schema: converted, isStrict: nil)
    }

    private func reasoning(_ config: FieldReader) throws -> NeutralReasoning {
        var reasoning = NeutralReasoning()
        reasoning.includesThoughts = try config.bool(try config.either("includeThoughts", "include_thoughts"))
        reasoning.budget = try config.int(
            try config.either("thinkingBudget", "thinking_budget"),
            in: -1...Int64(Int32.max)
        )
        let level = try config.either("thinkingLevel", "thinking_level")
        switch try config.string(level)?.uppercased() {
        case nil, "THINKING_LEVEL_UNSPECIFIED": break
        case let name?:
            guard let effort = NeutralReasoning.Effort(rawValue: name.lowercased()), effort != .none else {
                throw config.fault(level, "is not a level")
            }
            reasoning.effort = effort
        }
        return reasoning
    }
}
