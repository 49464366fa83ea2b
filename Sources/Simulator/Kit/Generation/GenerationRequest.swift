/// What an answer needs to know of a request, whatever its dialect.
package struct GenerationRequest {
    package var model = ""
    /// Nil is no limit.
    package var maxTokens: Int?
    package var isStream = false
    package var serving = Serving()
    package var isThinking = false
    /// Whether thinking is to be shown; if not, its block is empty but for the signature.
    package var showsThinking = true
    package var stopSequences: [String] = []
    /// The texts of the user's last message, one a line.
    package var lastUserText = ""
    /// The tool results in the last message.
    package var toolResults: [(id: String, text: String)] = []
    package var calls: [ToolCall] = []
    /// What answers a request for structured output.
    package var structuredAnswer: [UInt8]?
    package var prompt: Prompt
    /// Whether the dialect says how many web searches were made.
    package var countsWebSearches = true
    /// Whether the dialect says what was written to the cache.
    package var countsCacheWrites = true

    /// Text beyond this is not echoed.
    static let mostEchoedBytes = 4_096

    /// Takes a tool's result. What the user said before it has been answered: it asks for no call any more.
    mutating func take(result: String, of id: String) {
        lastUserText = ""
        toolResults.append((id, result))
    }

    init(owner: String) { prompt = Prompt(owner: owner) }
}

/// How a call is served, as far as Anthropic lets callers choose, and says so in its answer.
package struct Serving {
    package var speed: String?
    package var inferenceGeo: String?

    package init() {}
}
