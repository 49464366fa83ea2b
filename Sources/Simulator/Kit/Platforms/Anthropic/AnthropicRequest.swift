package import Formats

/// A body of the Messages API, checked as the API checks it, and what an answer needs of it.
///
/// Unknown members are accepted everywhere: what the gateway lets through is a matter for its own tests.
package struct AnthropicRequest {
    package private(set) var asked: GenerationRequest

    private let version: AnthropicVersion

    private static let mostBreakpoints = 4

    /// - Parameters:
    ///   - model: where the path names it; else the body does.
    ///   - isCounting: whether it is for `count_tokens`, which has no `max_tokens`.
    ///   - toolCalls: tool calls that are wanted besides those the request asks for itself.
    package init(
        _ document: JSONDocument,
        model: String? = nil,
        version: AnthropicVersion,
        owner: String,
        isCounting: Bool,
        toolCalls: Int?
    ) throws(Refusal) {
        self.version = version
        asked = GenerationRequest(owner: owner)
        let root = document.root
        guard root.isObject else { throw Refusal("Input should be an object") }
        if let model { asked.model = model } else { asked.model = try Self.text(root["model"], "model") }
        if !isCounting { asked.maxTokens = try Self.count(root["max_tokens"], "max_tokens") }
        try readSettings(root, isCounting: isCounting)
        try readTools(root, document)
        try readSystem(root["system"])
        try readMessages(root["messages"], document)
        try mark(root["cache_control"], "cache_control")
        guard asked.prompt.breakpoints.count <= Self.mostBreakpoints else {
            throw Refusal(
                "A maximum of \(Self.mostBreakpoints) blocks with cache_control may be provided."
                    + " Found \(asked.prompt.breakpoints.count)."
            )
        }
        asked.calls = try AnthropicTools.wanted(
            by: root,
            userText: asked.lastUserText,
            hasResults: !asked.toolResults.isEmpty,
            extra: toolCalls
        )
    }

    // MARK: Settings

    private mutating func readSettings(_ root: JSONValue, isCounting: Bool) throws(Refusal) {
        if let stream = root["stream"], !stream.isNull {
            guard let flag = stream.bool else { throw Refusal("stream: Input should be a valid boolean") }
            asked.isStream = flag
        }
        try readSampling(root)
        asked.serving.speed = try Self.choice(root, "speed", of: ["fast", "standard"])
        asked.serving.inferenceGeo = try Self.choice(root, "inference_geo", of: ["us", "global"])
        if let sequences = root["stop_sequences"], !sequences.isNull {
            guard sequences.isArray else { throw Refusal("stop_sequences: Input should be a valid list") }
            for (index, sequence) in sequences.elements.enumerated() {
                asked.stopSequences.append(try Self.text(sequence, "stop_sequences.\(index)"))
            }
        }
        try readThinking(root["thinking"], isCounting: isCounting)
        if let format = root["output_config"]?["format"] ?? root["output_format"], let schema = format["schema"] {
            asked.structuredAnswer = JSONSample.value(of: schema)
        }
    }

    private static func choice(
        _ root: JSONValue,
        _ name: StaticString,
        of words: [String]
    ) throws(Refusal) -> String? {
        guard let value = root[name], !value.isNull else { return nil }
        guard let word = value.string, words.contains(word) else {
            throw Refusal("\(name): Input should be one of \(words)")
        }
        return word
    }

    private func readSampling(_ root: JSONValue) throws(Refusal) {
        let names: [StaticString] = ["temperature", "top_p", "top_k"]
        for name in names {
            guard let value = root[name] else { continue }
            guard version != .v20261021 else { throw Refusal("\(name): Extra inputs are not permitted") }
            guard !value.isNull else { continue }
            guard let number = value.double else { throw Refusal("\(name): Input should be a valid number") }
            guard number >= 0, number <= 1 || value.int64 != nil && "\(name)" == "top_k" else {
                throw Refusal("\(name): range: 0..1")
            }
        }
    }

    private mutating func readThinking(_ thinking: JSONValue?, isCounting: Bool) throws(Refusal) {
        guard let thinking, !thinking.isNull else { return }
        switch thinking["type"]?.string {
        case "enabled":
            guard let budget = thinking["budget_tokens"]?.int64 else {
                throw Refusal("thinking.enabled.budget_tokens: Field required")
            }
            guard budget >= 1024 else {
                throw Refusal(
                    "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
                )
            }
            guard isCounting || budget < asked.maxTokens ?? 0 else {
                throw Refusal("`max_tokens` must be greater than `thinking.budget_tokens`.")
            }
            asked.isThinking = true
        case "adaptive", "between_tools": asked.isThinking = true
        case "disabled": break
        default:
            throw Refusal("thinking.type: Input should be 'enabled', 'adaptive' or 'disabled'")
        }
        asked.showsThinking = thinking["display"]?.equals("omitted") != true
    }

    // MARK: Prompt

    private mutating func readTools(_ root: JSONValue, _ document: JSONDocument) throws(Refusal) {
        guard let tools = root["tools"], !tools.isNull else { return }
        guard tools.isArray else { throw Refusal("tools: Input should be a valid list") }
        for (index, tool) in tools.elements.enumerated() {
            _ = try Self.text(tool["name"], "tools.\(index).name")
            let isCustom = tool["type"].map { $0.equals("custom") } ?? true
            guard !isCustom || tool["input_schema"]?.isObject == true else {
                throw Refusal("tools.\(index).custom.input_schema: Field required")
            }
            asked.prompt.add(document.bytes(of: tool))
            try mark(tool["cache_control"], "tools.\(index).cache_control")
        }
    }

    private mutating func readSystem(_ system: JSONValue?) throws(Refusal) {
        guard let system, !system.isNull else { return }
        if let text = system.stringBytes { return asked.prompt.add(text) }
        guard system.isArray else { throw Refusal("system: Input should be a valid list") }
        for (index, block) in system.elements.enumerated() {
            guard let text = block["text"]?.stringBytes else {
                throw Refusal("system.\(index).text: Field required")
            }
            asked.prompt.add(text)
            try mark(block["cache_control"], "system.\(index).cache_control")
        }
    }

    private mutating func readMessages(_ messages: JSONValue?, _ document: JSONDocument) throws(Refusal) {
        guard let messages, !messages.isNull else { throw Refusal("messages: Field required") }
        guard messages.isArray else { throw Refusal("messages: Input should be a valid list") }
        guard messages.count > 0 else { throw Refusal("messages: at least one message is required") }
        var openCalls: [String] = []
        for (index, message) in messages.elements.enumerated() {
            var reader = AnthropicMessageReader(document, version, at: "messages.\(index)")
            try reader.read(message, into: &asked.prompt)
            let isLast = index == messages.count - 1
            guard !reader.isEmpty || isLast && reader.role == .assistant else {
                throw Refusal(
                    "messages.\(index): all messages must have non-empty content"
                        + " except for the optional final assistant message"
                )
            }
            // A system message between two turns belongs to neither.
            if reader.role == .system { continue }
            try reader.checkResults(against: openCalls, before: index)
            openCalls = reader.toolCallIDs
            if reader.role == .user {
                asked.lastUserText = reader.texts.joined(separator: "\n").prefixOfUTF8(
                    GenerationRequest.mostEchoedBytes
                )
                asked.toolResults = reader.toolResults
            } else {
                asked.toolResults = []
            }
        }
    }

    private mutating func mark(_ control: JSONValue?, _ path: String) throws(Refusal) {
        if let lifetime = try Self.lifetime(control, path) { asked.prompt.mark(lifetime) }
    }

    static func lifetime(_ control: JSONValue?, _ path: String) throws(Refusal) -> Prompt.Lifetime? {
        guard let control, !control.isNull else { return nil }
        guard control["type"]?.equals("ephemeral") == true else {
            throw Refusal("\(path).type: Input should be 'ephemeral'")
        }
        switch control["ttl"]?.string {
        case nil, "5m": return .fiveMinutes
        case "1h": return .oneHour
        default: throw Refusal("\(path).ephemeral.ttl: Input should be '5m' or '1h'")
        }
    }

    // MARK: Members

    static func text(_ value: JSONValue?, _ path: String) throws(Refusal) -> String {
        guard let value else { throw Refusal("\(path): Field required") }
        guard let text = value.string else { throw Refusal("\(path): Input should be a valid string") }
        guard !text.isEmpty else { throw Refusal("\(path): String should have at least 1 character") }
        return text
    }

    /// A number of tokens. Zero is allowed: it fills the cache and generates nothing.
    private static func count(_ value: JSONValue?, _ path: String) throws(Refusal) -> Int {
        guard let value else { throw Refusal("\(path): Field required") }
        guard let number = value.int64 else { throw Refusal("\(path): Input should be a valid integer") }
        guard number >= 0 else { throw Refusal("\(path): must be greater than or equal to 0") }
        return Int(number)
    }
}

extension JSONDocument {
    /// The bytes of a value as they came.
    func bytes(of value: JSONValue) -> UnsafeRawBufferPointer {
        let range = location(of: value).value.clamped(to: 0..<source.count)
        return UnsafeRawBufferPointer(rebasing: source[range])
    }
}

extension String {
    /// The longest beginning of at most this many bytes that cuts no character in two.
    func prefixOfUTF8(_ count: Int) -> String {
        guard utf8.count > count else { return self }
        var bytes = Array(utf8.prefix(count + 1))
        while let last = bytes.popLast(), last & 0xc0 == 0x80 {}
        return String(decoding: bytes, as: UTF8.self)
    }
}
