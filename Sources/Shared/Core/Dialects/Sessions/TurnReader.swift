import Crypto
import Domain
import Formats

/// What is said in a request, turn by turn: texts alone, so that what a caller adds or leaves out besides (thinking,
/// pictures, marks) makes no other conversation of it.
///
/// Texts are taken as they stand in the JSON, undecoded. The same program writes the same text in the same way each time,
/// and what another one sends is no part of its conversations.
struct TurnReader: ~Copyable {
    private var chain: DigestChainBuilder
    private let key: KeyID
    /// Marked content of the system prompt, which is the same in all calls that have it.
    private var markedSystem: UInt64?
    /// The first marked content of the messages.
    private var markedMessage: UInt64?

    init(_ scope: SessionScope) {
        chain = DigestChainBuilder(scope)
        key = scope.key
    }

    /// Reads a request; nil when there is no word in it.
    static func session(in root: JSONSourceValue, _ dialect: Dialect, _ scope: SessionScope) -> CallSession? {
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
        if let marked = markedSystem ?? markedMessage { return .named(SessionName(marked)) }
        return chain.finish().map { .turns($0) }
    }

    // MARK: Dialects

    private mutating func readAnthropic(_ root: JSONSourceValue) {
        if let system = root["system"], !system.isNull { read(.system, system) }
        guard let messages = root["messages"] else { return }
        for message in messages.elements { read(speaker(of: message["role"]), message["content"]) }
    }

    private mutating func readChat(_ root: JSONSourceValue) {
        guard let messages = root["messages"] else { return }
        for message in messages.elements { read(speaker(of: message["role"]), message["content"]) }
    }

    private mutating func readResponses(_ root: JSONSourceValue) {
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

    private mutating func readGemini(_ root: JSONSourceValue) {
        if let system = root["systemInstruction"] ?? root["system_instruction"], !system.isNull {
            read(.system, system)
        }
        guard let contents = root["contents"] else { return }
        for content in contents.elements { read(speaker(of: content["role"]), content["parts"]) }
    }

    private func speaker(of role: JSONSourceValue?) -> DigestChain.Speaker {
        guard let role = role?.text else { return .user }
        func isNamed(_ name: StaticString) -> Bool { JSONText.inside(role, equals: name) }
        // Most are, and of another length than the others.
        if isNamed("user") { return .user }
        if isNamed("assistant") || isNamed("model") { return .model }
        return isNamed("system") || isNamed("developer") ? .system : .user
    }

    // MARK: Texts

    private mutating func read(_ speaker: DigestChain.Speaker, _ content: JSONSourceValue?) {
        chain.begin(speaker)
        guard let content else { return }
        if let text = content.text {
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

    private mutating func read(_ part: JSONSourceValue, of speaker: DigestChain.Speaker) {
        if let text = part.text { return chain.add(text) }
        guard part.isObject else { return }
        let text = part["text"]?.text
        if let text {
            // Gemini's thoughts are parts like others; callers may leave them out of the next turn.
            if part["thought"]?.bool == true { return }
            chain.add(text)
        }
        if part["cache_control"]?["type"]?.equals("ephemeral") == true { mark(text, part, speaker) }
    }

    /// The key is the seed, and each further text's seed the hash of those before it.
    ///
    /// - Parameter text: nil when the part is none (a picture, a tool's result).
    private mutating func mark(_ text: UnsafeRawBufferPointer?, _ part: JSONSourceValue, _ speaker: DigestChain.Speaker)
    {
        let seed = UInt64(bitPattern: key.raw)
        func hash(_ seed: UInt64) -> UInt64 {
            text.map { XXH64.hash($0, seed: seed) } ?? Self.hash(textsOf: part, seed)
        }
        if speaker == .system {
            markedSystem = hash(markedSystem ?? seed)
        } else if markedMessage == nil {
            markedMessage = hash(seed)
        }
    }

    /// All strings within a part, in order.
    private static func hash(textsOf value: JSONSourceValue, _ seed: UInt64) -> UInt64 {
        if let text = value.text { return XXH64.hash(text, seed: seed) }
        var hash = seed
        for element in value.elements { hash = Self.hash(textsOf: element, hash) }
        for (_, member) in value.members { hash = Self.hash(textsOf: member, hash) }
        return hash
    }
}
