import Domain
import Formats

/// Reads requests of Chat Completions into the neutral form.
///
/// Dropped, because an answer without them is as good: `prediction`, `store`, `metadata`, `verbosity`, `moderation`,
/// `service_tier` on other platforms, names of participants, and fields not known here. Refused, because the answer
/// would lack what was asked for: `n` above 1, `logprobs`, `logit_bias`, spoken answers, custom tools.
internal struct ChatRequestDecoder {
    private let root: FieldReader
    private let source: RequestSource

    init(_ document: JSONDocument, _ parser: JSONParser) throws {
        source = RequestSource(document, .brackets, parser)
        root = try FieldReader(document.root, "", source)
    }

    func decode() throws -> NeutralRequest {
        try refuseWhatCannotBe()
        var request = NeutralRequest(model: try root.requiredString("model"))
        var conversation = ChatConversationDecoder()
        try conversation.read(root)
        request.system = conversation.system
        request.messages = conversation.messages
        try readTools(into: &request)
        try readToolChoice(into: &request)
        request.maxTokens = try root.int("max_completion_tokens", in: 1...Int64(Int32.max))
        if request.maxTokens == nil { request.maxTokens = try root.int("max_tokens", in: 1...Int64(Int32.max)) }
        request.temperature = try root.number("temperature", in: 0...2)
        request.topP = try root.number("top_p", in: 0...1)
        request.topK = try root.int("top_k")
        request.frequencyPenalty = try root.number("frequency_penalty", in: -2...2)
        request.presencePenalty = try root.number("presence_penalty", in: -2...2)
        request.seed = try root.int("seed", in: Int64.min...Int64.max)
        request.stopSequences = try stops()
        request.responseFormat = try responseFormat()
        if let effort = try root.string("reasoning_effort") {
            guard let known = NeutralReasoning.Effort(rawValue: effort) else {
                throw root.fault("reasoning_effort", "is not an effort")
            }
            request.reasoning = NeutralReasoning(effort: known)
        }
        request.user = try root.string("safety_identifier") ?? root.string("user")
        request.cacheKey = try root.string("prompt_cache_key")
        request.serviceTier = try root.string("service_tier")
        request.isStream = try root.bool("stream") ?? false
        request.answer.includesUsage = try root.object("stream_options")?.bool("include_usage") ?? false
        return request
    }

    private func refuseWhatCannotBe() throws {
        let only = "is not available on the platform that serves this key"
        if let count = try root.int("n"), count != 1 { throw root.fault("n", "must be 1") }
        if try root.bool("logprobs") == true { throw root.fault("logprobs", only) }
        if let count = try root.int("top_logprobs"), count > 0 { throw root.fault("top_logprobs", only) }
        if let bias = root["logit_bias"], bias.count > 0 { throw root.fault("logit_bias", only) }
        if root.has("audio") { throw root.fault("audio", only) }
        if try root.strings("modalities")?.contains(where: { $0 != "text" }) == true {
            throw root.fault("modalities", only)
        }
    }

    private func stops() throws -> [String] {
        if let text = root["stop"]?.string { return [text] }
        return try root.strings("stop") ?? []
    }

    private func responseFormat() throws -> NeutralResponseFormat {
        guard let format = try root.object("response_format") else { return .text }
        switch try format.requiredString("type") {
        case "text": return .text
        case "json_object": return .jsonObject
        case "json_schema":
            let wanted = try format.requiredObject("json_schema")
            return .jsonSchema(
                name: try wanted.requiredString("name"),
                description: try wanted.string("description"),
                schema: try wanted.rawObject("schema") ?? .emptyObject,
                isStrict: try wanted.bool("strict")
            )
        default: throw format.fault("type", "must be text, json_object or json_schema")
        }
    }

    // MARK: Tools

    private func readTools(into request: inout NeutralRequest) throws {
        for tool in try root.objects("tools") ?? [] {
            guard try tool.requiredString("type") == "function" else {
                throw tool.fault("type", "this tool is not available on the platform that serves this key")
            }
            request.tools.append(try function(try tool.requiredObject("function")))
        }
        // What tools were called before they had other kinds than functions.
        for tool in try root.objects("functions") ?? [] { request.tools.append(try function(tool)) }
        if let options = try root.object("web_search_options") {
            var search = NeutralWebSearch()
            if let place = try options.object("user_location")?.object("approximate") {
                search.userLocation = try NeutralUserLocation(place)
            }
            request.serverTools.append(.webSearch(search))
        }
        request.allowsParallelTools = try root.bool("parallel_tool_calls")
    }

    private func function(_ tool: FieldReader) throws -> NeutralTool {
        NeutralTool(
            name: try tool.requiredString("name"),
            description: try tool.string("description"),
            parameters: try tool.rawObject("parameters"),
            isStrict: try tool.bool("strict")
        )
    }

    private func readToolChoice(into request: inout NeutralRequest) throws {
        if let choice = root["tool_choice"] {
            if let word = choice.string {
                request.toolChoice = try Self.choice(word, root, "tool_choice")
                return
            }
            let choice = try root.requiredObject("tool_choice")
            switch try choice.requiredString("type") {
            case "function":
                request.toolChoice = .named(try choice.requiredObject("function").requiredString("name"))
            case "allowed_tools":
                let allowed = try choice.requiredObject("allowed_tools")
                let names = try (allowed.objects("tools") ?? []).compactMap {
                    try $0.object("function")?.string("name")
                }
                // Tools that must not be called need not be known.
                request.tools.removeAll { !names.contains($0.name) }
                request.toolChoice = try Self.choice(try allowed.requiredString("mode"), allowed, "mode")
            default: throw choice.fault("type", "must be function or allowed_tools")
            }
        } else if let choice = root["function_call"] {
            if let word = choice.string {
                request.toolChoice = try Self.choice(word, root, "function_call")
            } else {
                request.toolChoice = .named(try root.requiredObject("function_call").requiredString("name"))
            }
        }
    }

    internal static func choice(_ word: String, _ holder: FieldReader, _ key: StaticString) throws -> NeutralToolChoice
    {
        switch word {
        case "auto": .auto
        case "none": .none
        case "required": .any
        default: throw holder.fault(key, "must be auto, none or required")
        }
    }
}
