import Domain
import Formats

/// Writes neutral requests as the Responses API takes them.
///
/// Nothing is stored there, so thoughts travel sealed with the conversation. Dropped, because an answer without them
/// is as good: `top_k`, `seed`, the penalties, cache marks, a user's name beyond 64 bytes. Stop sequences do not exist
/// there; the answer is cut at them (`StopSequences`). Fewer than 16 tokens cannot be asked for and become 16.
internal struct ResponsesRequestEncoder {
    private static let minimumTokens: Int64 = 16

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
            let system = request.system.compactMap(\.text).filter { !$0.isEmpty }
            if !system.isEmpty { json.member("instructions", system.joined(separator: "\n\n")) }
            json.key("input")
            try json.array { try ResponsesInputWriter.write(request.messages, to: &$0) }
            try writeTools(to: &json)
            if let limit = request.maxTokens { json.member("max_output_tokens", max(limit, Self.minimumTokens)) }
            let effort = model.effort(request.reasoning)
            if model.takesSampling(at: effort) {
                json.number("temperature", request.temperature?.clamped(to: 0...2))
                json.number("top_p", request.topP)
            }
            writeFormat(to: &json)
            writeReasoning(at: effort, to: &json)
            OpenAIRequestParts.writeCaller(of: request, to: &json)
            json.member("store", false)
            if request.isStream { json.member("stream", true) }
        }
        return json.bytes
    }

    private func writeFormat(to json: inout JSONWriter) {
        guard request.responseFormat != .text else { return }
        json.key("text")
        json.object { json in
            json.key("format")
            json.object {
                guard case .jsonSchema(let name, let description, let schema, let isStrict) = request.responseFormat
                else { return $0.member("type", "json_object") }
                $0.member("type", "json_schema")
                OpenAIRequestParts.writeSchema(name, description, schema, isStrict, to: &$0)
            }
        }
    }

    private func writeReasoning(at effort: NeutralReasoning.Effort?, to json: inout JSONWriter) {
        guard model.mayThink else { return }
        json.key("include")
        json.array { $0.string("reasoning.encrypted_content") }
        guard effort != nil || summary != nil else { return }
        json.key("reasoning")
        json.object {
            if let effort { $0.member("effort", effort.rawValue) }
            if let summary { $0.member("summary", summary) }
        }
    }

    /// Who asks for thinking by a budget, as Anthropic's and Google's callers do, expects to read it.
    private var summary: String? {
        guard let reasoning = request.reasoning, !reasoning.isOff else { return nil }
        if let summary = reasoning.summary { return summary }
        let isExpected = reasoning.budget != nil || reasoning.isAdaptive
        return reasoning.includesThoughts ?? isExpected ? "auto" : nil
    }

    // MARK: Tools

    private func writeTools(to json: inout JSONWriter) throws {
        guard !request.tools.isEmpty || !request.serverTools.isEmpty else { return }
        json.key("tools")
        try json.array { json in
            for tool in request.tools {
                try OpenAIToolNames.check(tool.name)
                json.object {
                    $0.member("type", "function")
                    $0.member("name", tool.name)
                    if let description = tool.description { $0.member("description", description) }
                    $0.key("parameters")
                    if let parameters = tool.parameters {
                        $0.raw(parameters.bytes)
                    } else {
                        $0.raw(#"{"type":"object","properties":{}}"#)
                    }
                    // Left out it would mean yes, and most schemas are not made for that.
                    $0.member("strict", tool.isStrict ?? false)
                }
            }
            for tool in request.serverTools { try write(tool, to: &json) }
        }
        OpenAIRequestParts.writeToolChoice(of: request, to: &json) { $1.member("name", $0) }
    }

    private func write(_ tool: NeutralServerTool, to json: inout JSONWriter) throws {
        guard case .webSearch(let search) = tool else {
            return json.object { json in
                json.member("type", "code_interpreter")
                json.key("container")
                json.object { $0.member("type", "auto") }
            }
        }
        guard search.blockedDomains.isEmpty else {
            throw TranslationFault(.serverTools, "this model's web search cannot leave out domains")
        }
        json.object { json in
            json.member("type", "web_search")
            if !search.allowedDomains.isEmpty {
                json.key("filters")
                json.object { json in
                    json.key("allowed_domains")
                    json.array { for domain in search.allowedDomains { $0.string(domain) } }
                }
            }
            if let place = search.userLocation {
                json.key("user_location")
                place.write(to: &json)
            }
        }
    }
}
