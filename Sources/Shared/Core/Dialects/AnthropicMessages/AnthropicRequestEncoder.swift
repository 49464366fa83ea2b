import Domain
import Formats

/// Writes neutral requests as the Messages API takes them.
///
/// What it cannot say is dropped where an answer without it is as good: `seed`, the penalties, the cache key and the
/// tier (Anthropic's own OpenAI-compatible endpoint ignores them too), sampling where the model takes none, and a
/// temperature above 1 becomes 1.
/// System prompts in the middle of a conversation join those at its start, as that endpoint does.
internal struct AnthropicRequestEncoder {
    private let request: NeutralRequest
    private let model: AnthropicModels
    private let parser: JSONParser

    init(_ request: NeutralRequest, _ parser: JSONParser) {
        self.request = request
        self.parser = parser
        model = AnthropicModels(request.model)
    }

    func encode() throws -> [UInt8] {
        var (system, messages) = request.withSystemHoisted
        if request.responseFormat == .jsonObject {
            // There is no such mode; asking for it in words is what the mode of OpenAI demands of callers anyway.
            system.append(.text("Answer with a single JSON object and nothing else."))
        }
        if messages.isEmpty, !system.isEmpty {
            // A conversation must not be empty, and a lone prompt is meant to be answered.
            messages = [NeutralMessage(.user, system)]
            system = []
        }
        try refuseWhatTheModelLacks()
        let thinking = thinking(messages)
        var json = JSONWriter(capacity: 1024)
        try json.object { json in
            json.member("model", request.model)
            if !request.countsTokens { json.member("max_tokens", maxTokens(thinking)) }
            write(system, to: &json)
            json.key("messages")
            try AnthropicMessageWriter(parser).write(messages, to: &json)
            try writeTools(to: &json)
            thinking?.write(to: &json)
            writeOutputConfig(thinking, to: &json)
            guard !request.countsTokens else { return }
            writeSampling(thinking, to: &json)
            if let user = request.user {
                json.key("metadata")
                json.object { $0.member("user_id", user) }
            }
            if request.isStream { json.member("stream", true) }
        }
        return json.bytes
    }

    /// What the model would answer with an error that does not name the caller's field.
    private func refuseWhatTheModelLacks() throws {
        if forcesTool, !model.canForceTools {
            throw TranslationFault(.toolChoice, "this model decides itself whether to call a tool")
        }
        if case .jsonSchema = request.responseFormat, !model.hasSchemas {
            throw TranslationFault(.responseFormat, "this model's answers cannot be held to a schema")
        }
    }

    // MARK: Thinking

    private enum Thinking: Equatable {
        case budget(Int64)
        case adaptive(showsThoughts: Bool)
        case betweenTools
        case disabled

        /// Whether the model thinks before it answers, for which it samples in its own way.
        var isOn: Bool {
            switch self {
            case .budget, .adaptive: true
            case .betweenTools, .disabled: false
            }
        }

        func write(to json: inout JSONWriter) {
            json.key("thinking")
            json.object {
                switch self {
                case .budget(let tokens):
                    $0.member("type", "enabled")
                    $0.member("budget_tokens", tokens)
                case .adaptive(let showsThoughts):
                    $0.member("type", "adaptive")
                    if showsThoughts { $0.member("display", "summarized") }
                case .betweenTools: $0.member("type", "between_tools")
                case .disabled: $0.member("type", "disabled")
                }
            }
        }
    }

    private static let minimumBudget: Int64 = 1024

    /// Nil leaves it to the model's default. A wish to think is a hint, so what forbids it wins over it.
    private func thinking(_ messages: [NeutralMessage]) -> Thinking? {
        guard let reasoning = request.reasoning, model.canThink else { return nil }
        if reasoning.isOff {
            return switch model.withoutThinking {
            case .disabled: .disabled
            case .betweenTools: .betweenTools
            case .lowestEffort: nil
            }
        }
        guard let budget = reasoning.resolvedBudget, !forcesTool, !isMidToolUseWithoutThoughts(messages) else {
            return nil
        }
        if model.isAdaptive {
            return .adaptive(showsThoughts: model.hidesThoughts && reasoning.includesThoughts != false)
        }
        // The budget counts towards max_tokens and must leave room for the answer.
        let wanted = model.budget(budget < 0 ? 8192 : max(budget, Self.minimumBudget))
        guard let limit = request.maxTokens else { return .budget(wanted) }
        guard limit > Self.minimumBudget else { return nil }
        return .budget(min(wanted, max(Self.minimumBudget, limit / 2), limit - 1))
    }

    /// The API thinks only where the model is free to call a tool or not.
    private var forcesTool: Bool {
        switch request.toolChoice {
        case .any, .named: true
        case .auto, .some(.none), nil: false
        }
    }

    /// The API refuses to think on after a tool call whose thoughts did not come back with their seal.
    private func isMidToolUseWithoutThoughts(_ messages: [NeutralMessage]) -> Bool {
        guard let last = messages.last(where: { $0.role == .assistant }) else { return false }
        let callsTool = last.parts.contains { if case .toolUse = $0.content { true } else { false } }
        return callsTool && !last.parts.contains(where: AnthropicMessageWriter.isOwnThought)
    }

    private func maxTokens(_ thinking: Thinking?) -> Int64 {
        if let limit = request.maxTokens { return max(1, limit) }
        if case .budget(let budget) = thinking { return model.defaultMaxTokens(withBudget: budget) }
        return model.defaultMaxTokens()
    }

    private func writeOutputConfig(_ thinking: Thinking?, to json: inout JSONWriter) {
        let effort = effort(thinking)
        var schema: RawJSON?
        if case .jsonSchema(_, _, let wanted, _) = request.responseFormat { schema = wanted }
        guard effort != nil || schema != nil else { return }
        json.key("output_config")
        json.object { json in
            if let effort { json.member("effort", name(of: effort)) }
            if let schema {
                json.key("format")
                json.object {
                    $0.member("type", "json_schema")
                    $0.key("schema")
                    $0.raw(schema.bytes)
                }
            }
        }
    }

    /// Left to the model where the caller leaves it, too.
    private func effort(_ thinking: Thinking?) -> NeutralReasoning.Effort? {
        guard let reasoning = request.reasoning, model.isAdaptive else { return nil }
        if reasoning.isOff, model.withoutThinking == .lowestEffort { return .low }
        guard case .adaptive = thinking else { return nil }
        let hasBudget = reasoning.budget ?? 0 > 0
        return reasoning.effort ?? (hasBudget ? reasoning.resolvedEffort : nil)
    }

    private func name(of effort: NeutralReasoning.Effort) -> String {
        switch effort {
        case .none, .minimal, .low: "low"
        case .xhigh: model.hasExtraHighEffort ? "xhigh" : "high"
        case .medium, .high, .max: effort.rawValue
        }
    }

    // MARK: Sampling

    private func writeSampling(_ thinking: Thinking?, to json: inout JSONWriter) {
        // With thinking the API takes no other sampling than its own.
        if thinking?.isOn != true, model.takesSampling {
            json.number("temperature", request.temperature?.clamped(to: 0...1))
            if request.temperature == nil || model.takesTwoSamplings {
                json.number("top_p", request.topP?.clamped(to: 0...1))
            }
            if let topK = request.topK { json.member("top_k", topK) }
        }
        // Sequences of nothing but white space are refused.
        let stops = request.stopSequences.filter { $0.utf8.contains { $0 > 0x20 } }
        guard !stops.isEmpty else { return }
        json.key("stop_sequences")
        json.array { for stop in stops { $0.string(stop) } }
    }

    // MARK: System and tools

    private func write(_ system: [NeutralPart], to json: inout JSONWriter) {
        let texts = system.filter { $0.text?.isEmpty == false }
        guard !texts.isEmpty else { return }
        json.key("system")
        json.array {
            for part in texts { AnthropicMessageWriter.writeText(part.text ?? "", cache: part.cache, to: &$0) }
        }
    }

    private func writeTools(to json: inout JSONWriter) throws {
        if !request.tools.isEmpty || !request.serverTools.isEmpty {
            json.key("tools")
            json.array { json in
                for tool in request.tools { write(tool, to: &json) }
                for tool in request.serverTools { write(tool, to: &json) }
            }
        }
        let isParallel = request.allowsParallelTools
        guard request.toolChoice != nil || (isParallel == false && !request.tools.isEmpty) else { return }
        json.key("tool_choice")
        json.object {
            switch request.toolChoice {
            case .auto, nil: $0.member("type", "auto")
            case .any: $0.member("type", "any")
            case .some(.none): $0.member("type", "none")
            case .named(let name):
                $0.member("type", "tool")
                $0.member("name", name)
            }
            if let isParallel, request.toolChoice != .some(.none) {
                $0.member("disable_parallel_tool_use", !isParallel)
            }
        }
    }

    private func write(_ tool: NeutralTool, to json: inout JSONWriter) {
        json.object {
            $0.member("name", tool.name)
            if let description = tool.description { $0.member("description", description) }
            $0.key("input_schema")
            $0.raw(objectSchema(tool.parameters))
            if tool.isStrict == true, model.hasSchemas { $0.member("strict", true) }
            AnthropicMessageWriter.writeCache(tool.cache, to: &$0)
        }
    }

    /// The API wants `"type":"object"` said; other dialects let it be understood.
    private func objectSchema(_ schema: RawJSON?) -> [UInt8] {
        guard let schema else { return Array(#"{"type":"object","properties":{}}"#.utf8) }
        let says = try? parser.parse(schema.bytes) { (isEmpty: $0.root.count == 0, hasType: $0.root["type"] != nil) }
        guard let says, !says.hasType, let brace = schema.bytes.firstIndex(of: UInt8(ascii: "{")) else {
            return schema.bytes
        }
        if says.isEmpty { return Array(#"{"type":"object","properties":{}}"#.utf8) }
        return Array(#"{"type":"object","#.utf8) + schema.bytes[(brace + 1)...]
    }

    private func write(_ tool: NeutralServerTool, to json: inout JSONWriter) {
        json.object { json in
            switch tool {
            case .webSearch(let search):
                json.member("type", "web_search_20250305")
                json.member("name", "web_search")
                if let uses = search.maximumUses { json.member("max_uses", uses) }
                write("allowed_domains", search.allowedDomains, to: &json)
                write("blocked_domains", search.blockedDomains, to: &json)
                if let place = search.userLocation {
                    json.key("user_location")
                    place.write(to: &json)
                }
            case .codeExecution:
                json.member("type", "code_execution_20250825")
                json.member("name", "code_execution")
            }
        }
    }

    private func write(_ key: StaticString, _ texts: [String], to json: inout JSONWriter) {
        guard !texts.isEmpty else { return }
        json.key(key)
        json.array { for text in texts { $0.string(text) } }
    }
}
