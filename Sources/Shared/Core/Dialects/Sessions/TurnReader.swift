import Crypto
package import Domain
package import Formats

/// What is said in a request, turn by turn: texts alone, so that what a caller adds or leaves out besides (thinking,
/// pictures, marks) makes no other conversation of it.
struct TurnReader: ~Copyable {
    private var chain: DigestChainBuilder
    private let key: KeyID
    /// Marked content of the system prompt, which is the same in all calls that have it.
    private var markedSystem: XXH64Stream?
    /// The first marked content of the messages.
    private var markedMessage: SessionName?

    init(_ scope: SessionScope) {
        chain = DigestChainBuilder(scope)
        key = scope.key
    }

    /// Reads a request; nil when there is no word in it.
    static func session(in root: JSONValue, _ dialect: Dialect, _ scope: SessionScope) -> CallSession? {
        var reader = TurnReader(scope)
        switch dialect {
        case .anthropic: reader.readAnthropic(root)
        case .openaiChat: reader.readChat(root)
        case .openaiResponses: reader.readResponses(root)
        case .gemini: reader.readGemini(root)
        }
        return reader.finish()
    }

    private consuming func finish() -> CallSession? {
        if let marked = markedSystem?.digest { return .named(SessionName(marked)) }
        if let markedMessage { return .named(markedMessage) }
        return chain.finish().map { .turns($0) }
    }

    // MARK: Dialects

    private mutating func readAnthropic(_ root: JSONValue) {
        if let system = root["system"], !system.isNull { read(.system, system) }
        guard let messages = root["messages"] else { return }
        for message in messages.elements { read(speaker(of: message["role"]), message["content"]) }
    }

    private mutating func readChat(_ root: JSONValue) {
        guard let messages = root["messages"] else { return }
        for message in messages.elements { read(speaker(of: message["role"]), message["content"]) }
    }

    private mutating func readResponses(_ root: JSONValue) {
        if let instructions = root["instructions"], !instructions.isNull { read(.system, instructions) }
        guard let input = root["input"] else { return }
        guard input.isArray else { return read(.user, input) }
        for item in input.elements {
            if item["role"] != nil || item.isString {
                read(speaker(of: item["role"]), item.isString ? item : item["content"])
            } else if item["type"]?.equals("function_call_output") == true {
                read(.user, item["output"])
            } else if item["type"]?.equals("function_call") == true {
                read(.model, item["arguments"])
            }
        }
    }

    private mutating func readGemini(_ root: JSONValue) {
        if let system = root["systemInstruction"] ?? root["system_instruction"], !system.isNull {
            read(.system, system)
        }
        guard let contents = root["contents"] else { return }
        for content in contents.elements { read(speaker(of: content["role"]), content["parts"]) }
    }

    private func speaker(of role: JSONValue?) -> DigestChain.Speaker {
        guard let role else { return .user }
        if role.equals("assistant") || role.equals("model") { return .model }
        return role.equals("system") || role.equals("developer") ? .system : .user
    }

    // MARK: Texts

    private mutating func read(_ speaker: DigestChain.Speaker, _ content: JSONValue?) {
        chain.begin(speaker)
        guard let content else { return }
        if let text = content.stringBytes {
            chain.add(text)
        } else if content.isArray {
            for part in content.elements { read(part, of: speaker) }
        } else {
            // A system instruction of Gemini's.
            read(content, of: speaker)
            if let parts = content["parts"] {
                for part in parts.elements { read(part, of: speaker) }
            }
        }
    }

    private mutating func read(_ part: JSONValue, of speaker: DigestChain.Speaker) {
        if let text = part.stringBytes { return chain.add(text) }
        guard part.isObject else { return }
        let text = part["text"]?.stringBytes
        if let text {
            // Gemini's thoughts are parts like others; callers may leave them out of the next turn.
            if part["thought"]?.bool == true { return }
            chain.add(text)
        }
        if part["cache_control"]?["type"]?.equals("ephemeral") == true { mark(text, part, speaker) }
    }

    /// - Parameter text: nil when the part is none (a picture, a tool's result).
    private mutating func mark(_ text: UnsafeRawBufferPointer?, _ part: JSONValue, _ speaker: DigestChain.Speaker) {
        if speaker == .system {
            var hash = markedSystem.take() ?? start()
            text.map { hash.update($0) }
            markedSystem = hash
        } else if markedMessage == nil {
            var hash = start()
            if let text { hash.update(text) } else { Self.addTexts(of: part, to: &hash) }
            markedMessage = SessionName(hash.digest)
        }
    }

    private func start() -> XXH64Stream {
        var hash = XXH64Stream()
        hash.update(Array("\(key):".utf8))
        return hash
    }

    /// All strings within a part, in order.
    private static func addTexts(of value: JSONValue, to hash: inout XXH64Stream) {
        if let text = value.stringBytes { return hash.update(text) }
        for element in value.elements { addTexts(of: element, to: &hash) }
        for (_, member) in value.members { addTexts(of: member, to: &hash) }
    }
}
