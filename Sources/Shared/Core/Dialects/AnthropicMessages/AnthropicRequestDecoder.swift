import Domain
import Formats

/// Reads requests of the Messages API into the neutral form.
///
/// Dropped, because an answer without them is as good: `cache_control` at the top, `context_management`, `speed`,
/// `service_tier` (its words mean nothing elsewhere), hints on tools (`defer_loading`, `input_examples`,
/// `eager_input_streaming`, `allowed_callers`), and fields not known here.
internal struct AnthropicRequestDecoder {
    private let root: FieldReader
    private let source: RequestSource

    init(_ document: JSONDocument, _ parser: JSONParser) throws {
        source = RequestSource(document, .dots, parser)
        root = try FieldReader(document.root, "", source)
    }

    func decode() throws -> NeutralRequest {
        try refuseWhatOnlyAnthropicHas()
        var request = NeutralRequest(model: try root.requiredString("model"))
        request.system = try system()
        request.messages = try messages()
        try readTools(into: &request)
        // Requests to count tokens have none, so that its absence is no fault here.
        request.maxTokens = try root.int("max_tokens", in: 0...Int64(Int32.max))
        request.temperature = try root.number("temperature", in: 0...1)
        request.topP = try root.number("top_p", in: 0...1)
        request.topK = try root.int("top_k")
        request.stopSequences = try root.strings("stop_sequences") ?? []
        request.user = try root.object("metadata")?.string("user_id")
        request.isStream = try root.bool("stream") ?? false
        try readOutputConfig(into: &request)
        try readThinking(into: &request)
        return request
    }

    private func refuseWhatOnlyAnthropicHas() throws {
        let only = "is not available on the platform that serves this key"
        if root.has("container") { throw root.fault("container", only) }
        if root.has("inference_geo") { throw root.fault("inference_geo", only) }
        if root["mcp_servers"]?.count ?? 0 > 0 { throw root.fault("mcp_servers", only) }
    }

    // MARK: Conversation

    private func system() throws -> [NeutralPart] {
        guard let value = root["system"] else { return [] }
        if let text = value.string { return text.isEmpty ? [] : [.text(text)] }
        return try (root.objects("system") ?? []).map { block in
            guard try block.requiredString("type") == "text" else { throw block.fault("type", "must be text") }
            return NeutralPart(.text(try block.requiredString("text")), cache: try AnthropicParts.cache(block))
        }
    }

    private func messages() throws -> [NeutralMessage] {
        guard let messages = try root.objects("messages") else { throw root.fault("messages", "field required") }
        return try messages.map { message in
            let role: NeutralMessage.Role =
                switch try message.requiredString("role") {
                case "user": .user
                case "assistant": .assistant
                case "system": .system
                default: throw message.fault("role", "must be user, assistant or system")
                }
            let parts = try AnthropicParts.content(message, "content", isRequired: true)
            for part in parts where !AnthropicParts.isAllowed(part.content, from: role) {
                throw message.fault("content", "has a block that this role cannot have")
            }
            return NeutralMessage(role, parts.withToolSignaturesAttached)
        }
    }

    // MARK: Tools

    private func readTools(into request: inout NeutralRequest) throws {
        for tool in try root.objects("tools") ?? [] {
            let type = try tool.string("type") ?? "custom"
            if type == "custom" {
                request.tools.append(
                    NeutralTool(
                        name: try tool.requiredString("name"),
                        description: try tool.string("description"),
                        parameters: try tool.rawObject("input_schema"),
                        isStrict: try tool.bool("strict"),
                        cache: try AnthropicParts.cache(tool)
                    )
                )
            } else if type.hasPrefix("web_search_") {
                request.serverTools.append(.webSearch(try webSearch(tool)))
            } else if type.hasPrefix("code_execution_") {
                request.serverTools.append(.codeExecution)
            } else {
                throw tool.fault("type", "this tool is not available on the platform that serves this key")
            }
        }
        guard let choice = try root.object("tool_choice") else { return }
        request.toolChoice =
            switch try choice.requiredString("type") {
            case "auto": .auto
            case "any": .any
            case "none": NeutralToolChoice.none
            case "tool": .named(try choice.requiredString("name"))
            default: throw choice.fault("type", "must be auto, any, none or tool")
            }
        request.allowsParallelTools = try choice.bool("disable_parallel_tool_use").map { !$0 }
    }

    private func webSearch(_ tool: FieldReader) throws -> NeutralWebSearch {
        var search = NeutralWebSearch()
        search.maximumUses = try tool.int("max_uses")
        search.allowedDomains = try tool.strings("allowed_domains") ?? []
        search.blockedDomains = try tool.strings("blocked_domains") ?? []
        if let place = try tool.object("user_location") { search.userLocation = try NeutralUserLocation(place) }
        return search
    }

    // MARK: Output and thinking

    private func readOutputConfig(into request: inout NeutralRequest) throws {
        let config = try root.object("output_config")
        if let effort = try config?.string("effort") {
            guard let known = NeutralReasoning.Effort(rawValue: effort) else {
                throw TranslationFault("output_config.effort", "is not an effort")
            }
            request.reasoning = NeutralReasoning(effort: known)
        }
        // `output_format` is the name of the beta.
        guard let format = try config?.object("format") ?? root.object("output_format") else { return }
        guard try format.requiredString("type") == "json_schema" else {
            throw format.fault("type", "must be json_schema")
        }
        guard let schema = try format.rawObject("schema") else { throw format.fault("schema", "field required") }
        request.responseFormat = .jsonSchema(name: nil, description: nil, schema: schema, isStrict: true)
    }

    private func readThinking(into request: inout NeutralRequest) throws {
        guard let thinking = try root.object("thinking") else {
            // An effort alone says how much to write; only with thinking it says how much to think.
            if request.reasoning != nil { request.reasoning?.isAdaptive = true }
            return
        }
        var reasoning = request.reasoning ?? NeutralReasoning()
        switch try thinking.requiredString("type") {
        case "enabled":
            guard let budget = try thinking.int("budget_tokens", in: 1...Int64(Int32.max)) else {
                throw thinking.fault("budget_tokens", "field required")
            }
            reasoning.budget = budget
        case "adaptive": reasoning.isAdaptive = true
        // The least that a model thinks.
        case "between_tools": reasoning = NeutralReasoning(effort: .low)
        case "disabled": reasoning = NeutralReasoning(budget: 0)
        default: throw thinking.fault("type", "must be enabled, disabled or adaptive")
        }
        reasoning.includesThoughts = try thinking.string("display").map { $0 != "omitted" }
        request.reasoning = reasoning
    }
}

extension NeutralUserLocation {
    /// The object that Anthropic and OpenAI share.
    internal init(_ place: FieldReader) throws {
        self.init()
        city = try place.string("city")
        region = try place.string("region")
        country = try place.string("country")
        timeZone = try place.string("timezone")
    }

    internal func write(to json: inout JSONWriter) {
        json.object {
            $0.member("type", "approximate")
            if let city { $0.member("city", city) }
            if let region { $0.member("region", region) }
            if let country { $0.member("country", country) }
            if let timeZone { $0.member("timezone", timeZone) }
        }
    }
}
