import Bytes
import Domain
import Formats

/// Writes neutral requests as Chat Completions takes them.
///
/// Dropped, because an answer without them is as good: `top_k`, cache marks (OpenAI caches by itself), thoughts of
/// earlier turns (the API takes none), a user's name beyond 64 bytes, and how often a web search may run.
internal struct ChatRequestEncoder {
    private static let maximumStops = 4

    private let request: NeutralRequest
    private let model: OpenAIModels

    init(_ request: NeutralRequest) {
        self.request = request
        model = OpenAIModels(request.model)
    }

    func encode() throws -> [UInt8] {
        var json = JSONWriter(capacity: 1024)
        try json.object { json in
            json.member("model", request.model)
            json.key("messages")
            try ChatMessageWriter.write(request, to: &json)
            try writeTools(to: &json)
            let effort = model.effort(request.reasoning)
            writeSampling(at: effort, to: &json)
            writeResponseFormat(to: &json)
            if let effort { json.member("reasoning_effort", effort.rawValue) }
            OpenAIRequestParts.writeCaller(of: request, to: &json)
            guard request.isStream else { return }
            json.member("stream", true)
            json.key("stream_options")
            json.object { $0.member("include_usage", true) }
        }
        return json.bytes
    }

    private func writeSampling(at effort: NeutralReasoning.Effort?, to json: inout JSONWriter) {
        if let limit = request.maxTokens { json.member("max_completion_tokens", limit) }
        if model.takesSampling(at: effort) {
            json.number("temperature", request.temperature?.clamped(to: 0...2))
            json.number("top_p", request.topP)
            json.number("frequency_penalty", request.frequencyPenalty)
            json.number("presence_penalty", request.presencePenalty)
        }
        if let seed = request.seed { json.member("seed", seed) }
        // The answer is cut at all of them in any case (`StopSequences`); named, they also save tokens.
        guard !request.stopSequences.isEmpty, request.stopSequences.count <= Self.maximumStops,
            model.takesStops
        else { return }
        json.key("stop")
        json.array { for stop in request.stopSequences { $0.string(stop) } }
    }

    private func writeResponseFormat(to json: inout JSONWriter) {
        switch request.responseFormat {
        case .text: return
        case .jsonObject:
            json.key("response_format")
            json.object { $0.member("type", "json_object") }
        case .jsonSchema(let name, let description, let schema, let isStrict):
            json.key("response_format")
            json.object { json in
                json.member("type", "json_schema")
                json.key("json_schema")
                json.object {
                    OpenAIRequestParts.writeSchema(name, description, schema, isStrict, to: &$0)
                }
            }
        }
    }

    // MARK: Tools

    private func writeTools(to json: inout JSONWriter) throws {
        for tool in request.serverTools { try write(tool, to: &json) }
        guard !request.tools.isEmpty else { return }
        json.key("tools")
        try json.array { json in
            for tool in request.tools {
                try OpenAIToolNames.check(tool.name)
                json.object { json in
                    json.member("type", "function")
                    json.key("function")
                    json.object {
                        $0.member("name", tool.name)
                        if let description = tool.description { $0.member("description", description) }
                        if let parameters = tool.parameters {
                            $0.key("parameters")
                            $0.raw(parameters.bytes)
                        }
                        if let isStrict = tool.isStrict { $0.member("strict", isStrict) }
                    }
                }
            }
        }
        OpenAIRequestParts.writeToolChoice(of: request, to: &json) { name, json in
            json.key("function")
            json.object { $0.member("name", name) }
        }
    }

    private func write(_ tool: NeutralServerTool, to json: inout JSONWriter) throws {
        switch tool {
        case .webSearch(let search):
            guard search.allowedDomains.isEmpty, search.blockedDomains.isEmpty else {
                throw TranslationFault(.serverTools, "this model's web search cannot be limited to domains")
            }
            json.key("web_search_options")
            json.object { json in
                guard let place = search.userLocation else { return }
                json.key("user_location")
                json.object { json in
                    json.member("type", "approximate")
                    json.key("approximate")
                    json.object {
                        if let city = place.city { $0.member("city", city) }
                        if let region = place.region { $0.member("region", region) }
                        if let country = place.country { $0.member("country", country) }
                        if let timeZone = place.timeZone { $0.member("timezone", timeZone) }
                    }
                }
            }
        case .codeExecution: throw TranslationFault(.serverTools, "this model cannot run code")
        }
    }
}

/// Names that OpenAI gives to functions: up to 64 letters, digits, `_` and `-`.
internal enum OpenAIToolNames {
    static func check(_ name: String) throws {
        guard !name.isEmpty, name.utf8.count <= 64, ToolIDs.sanitized(name) == name else {
            let shown = name.shown(80)
            throw TranslationFault(.tools, "this model takes names of 1 to 64 letters, digits, _ and -, not \(shown)")
        }
    }
}
