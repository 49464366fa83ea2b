import Domain
import Formats

/// Reads requests of the Responses API into the neutral form.
///
/// Dropped, because an answer without them is as good: `store`, `include`, `metadata` (the answer repeats it),
/// `max_tool_calls`, `truncation`, `text.verbosity`, `stream_options`, and fields not known here. Refused: whatever
/// leans on state that OpenAI keeps, for no other platform has it.
internal struct ResponsesRequestDecoder {
    private let root: FieldReader
    private let source: RequestSource

    init(_ document: JSONDocument, _ parser: JSONParser) throws {
        source = RequestSource(document, .brackets, parser)
        root = try FieldReader(document.root, "", source)
    }

    func decode() throws -> NeutralRequest {
        try refuseState()
        var request = NeutralRequest(model: try root.requiredString("model"))
        var conversation = ResponsesInputDecoder()
        if let instructions = try root.string("instructions"), !instructions.isEmpty {
            conversation.system.append(.text(instructions))
        }
        try conversation.read(root)
        request.system = conversation.system
        request.messages = conversation.messages.map { NeutralMessage($0.role, $0.parts.withToolSignaturesAttached) }
        try readTools(into: &request)
        try readToolChoice(into: &request)
        request.maxTokens = try root.int("max_output_tokens", in: 1...Int64(Int32.max))
        try OpenAIRequestParts.read(root, into: &request)
        let format = try root.object("text")?.object("format")
        request.responseFormat = try OpenAIRequestParts.responseFormat(format) { $0 }
        request.reasoning = try reasoning()
        request.answer.includesUsage = true
        request.answer.echo = echo()
        return request
    }

    private func refuseState() throws {
        let only = "is not available on the platform that serves this key"
        if root.has("previous_response_id") { throw root.fault("previous_response_id", only) }
        if root.has("conversation") { throw root.fault("conversation", only) }
        if root.has("prompt") { throw root.fault("prompt", only) }
        if try root.bool("background") == true { throw root.fault("background", only) }
        if let count = try root.int("top_logprobs"), count > 0 { throw root.fault("top_logprobs", only) }
    }

    private func reasoning() throws -> NeutralReasoning? {
        guard let wish = try root.object("reasoning") else { return nil }
        let effort = try OpenAIRequestParts.effort(wish, "effort")
        let summary = try wish.string("summary") ?? wish.string("generate_summary")
        guard effort != nil || summary != nil else { return nil }
        return NeutralReasoning(effort: effort, includesThoughts: summary == nil ? nil : true, summary: summary)
    }

    // MARK: Tools

    private func readTools(into request: inout NeutralRequest) throws {
        for tool in try root.objects("tools") ?? [] {
            let type = try tool.requiredString("type")
            if type == "function" {
                request.tools.append(try OpenAIRequestParts.function(tool))
            } else if type.hasPrefix("web_search") {
                var search = NeutralWebSearch()
                search.allowedDomains = try tool.object("filters")?.strings("allowed_domains") ?? []
                if let place = try tool.object("user_location") { search.userLocation = try NeutralUserLocation(place) }
                request.serverTools.append(.webSearch(search))
            } else if type == "code_interpreter" {
                request.serverTools.append(.codeExecution)
            } else {
                throw tool.fault("type", "this tool is not available on the platform that serves this key")
            }
        }
        request.allowsParallelTools = try root.bool("parallel_tool_calls")
    }

    private func readToolChoice(into request: inout NeutralRequest) throws {
        guard let value = root["tool_choice"] else { return }
        if let word = value.string {
            request.toolChoice = try OpenAIRequestParts.toolChoice(word, root, "tool_choice")
            return
        }
        let choice = try root.requiredObject("tool_choice")
        switch try choice.requiredString("type") {
        case "function": request.toolChoice = .named(try choice.requiredString("name"))
        case "allowed_tools":
            let names = try (choice.objects("tools") ?? []).compactMap { try $0.string("name") }
            try OpenAIRequestParts.allow(only: names, mode: choice, in: &request)
        default: throw choice.fault("type", "must be function or allowed_tools")
        }
    }

    /// What the answer repeats.
    private func echo() -> RawJSON {
        // In the document's order, for that is how a cursor walks it once.
        var found: [Int: RawJSON] = [:]
        for (key, value) in root.value.members where !value.isNull {
            guard let place = ResponsesEcho.fields.firstIndex(where: { key == $0.name }) else { continue }
            // People lay requests out in lines, and streams repeat this in their events.
            found[place] = source.raw(value).onOneLine
        }
        return ResponsesEcho.object(found)
    }
}

/// The members of a request that every response object repeats, and what stands there for those the caller left out.
internal enum ResponsesEcho {
    static let fields: [(name: StaticString, whenAbsent: StaticString)] = [
        ("instructions", "null"), ("max_output_tokens", "null"), ("metadata", "{}"), ("parallel_tool_calls", "true"),
        ("reasoning", "{\"effort\":null,\"summary\":null}"), ("temperature", "1.0"),
        ("text", "{\"format\":{\"type\":\"text\"}}"), ("tool_choice", "\"auto\""), ("tools", "[]"), ("top_p", "1.0"),
        ("truncation", "\"disabled\""), ("user", "null"),
    ]
    static let nothing = object([:])

    /// - Parameter found: values by their place in `fields`.
    static func object(_ found: [Int: RawJSON]) -> RawJSON {
        var json = JSONWriter(capacity: 256)
        json.object { json in
            for (place, field) in fields.enumerated() {
                json.key(field.name)
                if let raw = found[place] { json.raw(raw.bytes) } else { json.raw("\(field.whenAbsent)") }
            }
        }
        return RawJSON(trusted: json.bytes)
    }
}
