/// Tokens of one call by price class, as the upstream counted them.
package struct TokenUsage: Hashable, Sendable {
    package var input: Int64 = 0
    package var output: Int64 = 0
    package var cacheWrite5m: Int64 = 0
    package var cacheWrite1h: Int64 = 0
    package var cacheRead: Int64 = 0
    /// Server-side tool calls that cost by the call (web search).
    package var webSearches: Int64 = 0

    package init(
        input: Int64 = 0,
        output: Int64 = 0,
        cacheWrite5m: Int64 = 0,
        cacheWrite1h: Int64 = 0,
        cacheRead: Int64 = 0,
        webSearches: Int64 = 0
    ) {
        self.input = input
        self.output = output
        self.cacheWrite5m = cacheWrite5m
        self.cacheWrite1h = cacheWrite1h
        self.cacheRead = cacheRead
        self.webSearches = webSearches
    }

    package var isZero: Bool { self == TokenUsage() }
    package var cacheWrite: Int64 { cacheWrite5m &+ cacheWrite1h }
    /// All classes together; what `total_tokens` means in answers.
    package var total: Int64 { input &+ output &+ cacheWrite &+ cacheRead }
}
