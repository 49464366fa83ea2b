import Bytes
import Domain
import Formats

/// Writes neutral requests as the Gemini API takes them. The model's name and streaming stand in the path.
///
/// Dropped, because an answer without them is as good: cache marks (Google caches by itself), the end user's name, the
/// cache key and the tier, strictness of tools. That one function at most shall be called is said in words, for lack of
/// a field.
internal struct GeminiRequestEncoder {
    private static let maximumStops = 5

    private let request: NeutralRequest
    private let model: GeminiModels
    private let parser: JSONParser

    init(_ request: NeutralRequest, _ parser: JSONParser) {
        self.request = request
        self.parser = parser
        model = GeminiModels(request.model)
    }

    func encode() throws -> [UInt8] {
        var (system, messages) = request.withSystemHoisted
        if messages.isEmpty, !system.isEmpty {
            // A conversation must not be empty, and a lone prompt is meant to be answered.
            messages = [NeutralMessage(.user, system)]
            system = []
        }
        if request.allowsParallelTools == false, !request.tools.isEmpty {
            system.append(.text("Call at most one function before you wait for its result."))
        }
        var json = JSONWriter(capacity: 1024)
        try json.object { json in
            json.key("contents")
            try GeminiContentWriter(needsSeals: model.needsSeals).write(messages, to: &json)
            write(system, to: &json)
            try writeTools(to: &json)
            writeToolConfig(to: &json)
            if !request.countsTokens { try writeConfig(to: &json) }
        }
        return json.bytes
    }

    private func write(_ system: [NeutralPart], to json: inout JSONWriter) {
        let texts = system.compactMap(\.text).filter { !$0.isEmpty }
        guard !texts.isEmpty else { return }
        json.key("systemInstruction")
        json.object { json in
            json.key("parts")
            json.array { json in
                for text in texts { json.object { $0.member("text", text) } }
            }
        }
    }

    // MARK: Tools

    private func writeTools(to json: inout JSONWriter) throws {
        guard !request.tools.isEmpty || !request.serverTools.isEmpty else { return }
        json.key("tools")
        try json.array { json in
            if !request.tools.isEmpty {
                try json.object { json in
                    json.key("functionDeclarations")
                    try json.array { json in for tool in request.tools { try write(tool, to: &json) } }
                }
            }
            for tool in request.serverTools {
                let name = try name(of: tool)
                json.object {
                    $0.key(name)
                    $0.object { _ in }
                }
            }
        }
    }

    private func name(of tool: NeutralServerTool) throws -> StaticString {
        switch tool {
        case .codeExecution: return "codeExecution"
        case .webSearch(let search):
            guard search.allowedDomains.isEmpty, search.blockedDomains.isEmpty else {
                throw TranslationFault(.serverTools, "this model's web search cannot be limited to domains")
            }
            return "googleSearch"
        }
    }

    private func write(_ tool: NeutralTool, to json: inout JSONWriter) throws {
        guard Self.isName(tool.name) else {
            let shown = tool.name.shown(80)
            throw TranslationFault(
                .tools,
                "this model takes names of 1 to 64 letters, digits, _, ., : and - that begin with a letter or _, not "
                    + shown
            )
        }
        json.object { json in
            json.member("name", tool.name)
            if let description = tool.description { json.member("description", description) }
            if let parameters = tool.parameters, hasMembers(parameters) {
                json.key("parametersJsonSchema")
                json.raw(withoutDraft(parameters))
            }
        }
    }

    private func hasMembers(_ schema: RawJSON) -> Bool {
        (try? parser.parse(schema.bytes) { $0.root.count > 0 }) ?? false
    }

    /// Which draft a schema follows is nothing that the API knows, and nothing that changes what is valid.
    private func withoutDraft(_ schema: RawJSON) -> [UInt8] {
        let rest: [UInt8]?? = try? parser.parse(schema.bytes) { document in
            guard document.root["$schema"] != nil else { return nil }
            var cursor = JSONSourceCursor(document)
            var json = JSONWriter(capacity: schema.bytes.count)
            json.object { json in
                for (key, value) in document.root.members where !(key == "$schema") {
                    json.key(key.string)
                    json.raw(cursor.bytes(of: value))
                }
            }
            return json.bytes
        }
        return (rest ?? nil) ?? schema.bytes
    }

    private static func isName(_ name: String) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= 64, isLetter(first) else { return false }
        return name.utf8.allSatisfy {
            isLetter($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: ":")
                || $0 == UInt8(ascii: "-")
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == UInt8(ascii: "_")
    }

    private func writeToolConfig(to json: inout JSONWriter) {
        guard let choice = request.toolChoice, !request.tools.isEmpty else { return }
        json.key("toolConfig")
        json.object { json in
            json.key("functionCallingConfig")
            json.object { json in
                switch choice {
                case .auto: json.member("mode", "AUTO")
                case .none: json.member("mode", "NONE")
                case .any: json.member("mode", "ANY")
                case .named(let name):
                    json.member("mode", "ANY")
                    json.key("allowedFunctionNames")
                    json.array { $0.string(name) }
                }
            }
        }
    }

    // MARK: Generation

    private func writeConfig(to json: inout JSONWriter) throws {
        var config = JSONWriter(capacity: 256)
        try config.object { config in
            if let limit = request.maxTokens { config.member("maxOutputTokens", max(1, limit)) }
            config.number("temperature", request.temperature?.clamped(to: 0...2))
            config.number("topP", request.topP?.clamped(to: 0...1))
            if let topK = request.topK, topK > 0 { config.member("topK", topK) }
            config.number("presencePenalty", request.presencePenalty)
            config.number("frequencyPenalty", request.frequencyPenalty)
            if let seed = request.seed {
                guard Int32(exactly: seed) != nil else {
                    throw TranslationFault(.seed, "this model takes 32-bit numbers")
                }
                config.member("seed", seed)
            }
            writeStops(to: &config)
            writeResponseFormat(to: &config)
            writeThinking(to: &config)
        }
        guard config.bytes.count > 2 else { return }
        json.key("generationConfig")
        json.raw(config.bytes)
    }

    /// At those beyond what the API takes the answer is cut on its way to the caller.
    private func writeStops(to json: inout JSONWriter) {
        let stops = request.stopSequences.filter { !$0.isEmpty }.prefix(Self.maximumStops)
        guard !stops.isEmpty else { return }
        json.key("stopSequences")
        json.array { for stop in stops { $0.string(stop) } }
    }

    private func writeResponseFormat(to json: inout JSONWriter) {
        switch request.responseFormat {
        case .text: break
        case .jsonObject: json.member("responseMimeType", "application/json")
        case .jsonSchema(_, _, let schema, _):
            json.member("responseMimeType", "application/json")
            json.key("responseJsonSchema")
            json.raw(withoutDraft(schema))
        }
    }

    /// A wish to think is a hint: it is brought within what the model knows, never refused.
    private func writeThinking(to json: inout JSONWriter) {
        guard let reasoning = request.reasoning, model.thinking != .none else { return }
        let shows = reasoning.includesThoughts ?? !reasoning.isOff
        json.key("thinkingConfig")
        json.object { json in
            switch model.thinking {
            case .none: break
            case .budget(let bounds, let canBeOff):
                if let budget = reasoning.resolvedBudget {
                    json.member("thinkingBudget", Self.budget(budget, bounds, canBeOff))
                }
            case .level(let knowsMinimal):
                if let effort = reasoning.resolvedEffort {
                    json.member("thinkingLevel", Self.level(effort, knowsMinimal))
                }
            }
            json.member("includeThoughts", shows)
        }
    }

    private static func budget(_ wanted: Int64, _ bounds: ClosedRange<Int64>, _ canBeOff: Bool) -> Int64 {
        if wanted < 0 { return -1 }
        if wanted == 0, canBeOff { return 0 }
        return min(max(wanted, bounds.lowerBound), bounds.upperBound)
    }

    private static func level(_ effort: NeutralReasoning.Effort, _ knowsMinimal: Bool) -> String {
        switch effort {
        case .none, .minimal: knowsMinimal ? "MINIMAL" : "LOW"
        case .low: "LOW"
        case .medium: "MEDIUM"
        case .high, .xhigh, .max: "HIGH"
        }
    }
}
