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
        try OpenAIRequestParts.read(root, into: &request)
        request.topK = try root.int("top_k")
        request.frequencyPenalty = try root.number("frequency_penalty", in: -2...2)
        request.presencePenalty = try root.number("presence_penalty", in: -2...2)
        request.seed = try root.int("seed", in: Int64.min...Int64.max)
        request.stopSequences = try stops()
        request.responseFormat = try OpenAIRequestParts.responseFormat(try root.object("response_format")) { format in
            let schema = try format.requiredObject("json_schema")
            _ = try schema.requiredString("name")
            return schema
        }
        request.reasoning = try OpenAIRequestParts.effort(root, "reasoning_effort").map { NeutralReasoning(effort: $0) }
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

    // MARK: Tools

    private func readTools(into request: inout NeutralRequest) throws {
        for tool in try root.objects("tools") ?? [] {
            guard try tool.requiredString("type") == "function" else {
                throw tool.fault("type", "this tool is not available on the platform that serves this key")
            }
            request.tools.append(try OpenAIRequestParts.function(try tool.requiredObject("function")))
        }
        // What tools were called before they had other kinds than functions.
        for tool in try root.objects("functions") ?? [] {
            request.tools.append(try OpenAIRequestParts.function(tool))
        }
        if let options = try root.object("web_search_options") {
            var search = NeutralWebSearch()
            if let place = try options.object("user_location")?.object("approximate") {
                search.userLocation = try NeutralUserLocation(place)
            }
            request.serverTools.append(.webSearch(search))
        }
        request.allowsParallelTools = try root.bool("parallel_tool_calls")
    }

    private func readToolChoice(into request: inout NeutralRequest) throws {
        if let choice = root["tool_choice"] {
            if let word = choice.string {
                request.toolChoice = try OpenAIRequestParts.toolChoice(word, root, "tool_choice")
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
                try OpenAIRequestParts.allow(only: names, mode: allowed, in: &request)
            default: throw choice.fault("type", "must be function or allowed_tools")
            }
        } else if let choice = root["function_call"] {
            if let word = choice.string {
                request.toolChoice = try OpenAIRequestParts.toolChoice(word, root, "function_call")
            } else {
                request.toolChoice = .named(try root.requiredObject("function_call").requiredString("name"))
            }
        }
    }
}
