/// A call in the form in which dialects meet.
///
/// Every codec reads its own dialect into this and writes its own dialect from it; none knows another.
package struct NeutralRequest: Hashable, Sendable {
    /// The name that stands in the request: the caller's until the relay sets the account's.
    package var model: String
    /// System and developer prompts that stand before the conversation.
    package var system: [NeutralPart] = []
    package var messages: [NeutralMessage] = []

    package var tools: [NeutralTool] = []
    package var serverTools: [NeutralServerTool] = []
    package var toolChoice: NeutralToolChoice?
    /// Whether one answer may call several tools; nil is the upstream's own default, which is yes everywhere.
    package var allowsParallelTools: Bool?

    package var maxTokens: Int64?
    package var temperature: JSONNumber?
    package var topP: JSONNumber?
    package var topK: Int64?
    package var stopSequences: [String] = []
    package var frequencyPenalty: JSONNumber?
    package var presencePenalty: JSONNumber?
    package var seed: Int64?
    package var responseFormat = NeutralResponseFormat.text
    package var reasoning: NeutralReasoning?
    /// An opaque name of the end user.
    package var user: String?
    package var serviceTier: String?
    /// What keeps calls with one prefix on one cache (OpenAI `prompt_cache_key`).
    package var cacheKey: String?

    package var isStream = false
    /// Whether tokens are to be counted rather than an answer made: such requests say nothing of the answer.
    package var countsTokens = false
    /// How the caller wants the answer written; no upstream sees it.
    package var answer = NeutralAnswerOptions()

    package init(model: String) { self.model = model }

    /// For dialects with one system prompt: all system parts in their order, and the messages that are left.
    package var withSystemHoisted: (system: [NeutralPart], messages: [NeutralMessage]) {
        guard messages.contains(where: { $0.role == .system }) else { return (system, messages) }
        let later = messages.lazy.filter { $0.role == .system }.flatMap(\.parts)
        return (system + later, messages.filter { $0.role != .system })
    }
}

/// Wishes about the answer's form that concern the caller's encoder alone.
package struct NeutralAnswerOptions: Hashable, Sendable {
    /// Chat: `stream_options.include_usage`.
    package var includesUsage = false
    /// Responses: members of the request which the answer repeats, as a JSON object.
    package var echo: RawJSON?
    /// Gemini: whether a stream is written as Server-Sent Events (`alt=sse`) or as one JSON array.
    package var isSSE = true
    /// The request's stop sequences, for answers of upstreams that do not stop at them.
    package var stopSequences: [String] = []

    package init() {}
}

package enum NeutralResponseFormat: Hashable, Sendable {
    case text
    /// Any JSON object.
    case jsonObject
    case jsonSchema(name: String?, description: String?, schema: RawJSON, isStrict: Bool?)
}

/// How much the model shall think before it answers.
package struct NeutralReasoning: Hashable, Sendable {
    package enum Effort: String, Hashable, Sendable, CaseIterable, Comparable {
        case none, minimal, low, medium, high, xhigh, max

        package static func < (left: Effort, right: Effort) -> Bool {
            guard let left = allCases.firstIndex(of: left), let right = allCases.firstIndex(of: right) else {
                return false
            }
            return left < right
        }
    }

    package var effort: Effort?
    /// Tokens; 0 is no thinking, −1 is as the model likes (Gemini's dynamic budget).
    package var budget: Int64?
    /// The model decides itself how much (Anthropic `adaptive`).
    package var isAdaptive = false
    /// Whether the caller wants to see thoughts; nil is its dialect's default.
    package var includesThoughts: Bool?
    /// OpenAI Responses: `auto`, `concise`, `detailed`.
    package var summary: String?

    package init(
        effort: Effort? = nil,
        budget: Int64? = nil,
        isAdaptive: Bool = false,
        includesThoughts: Bool? = nil,
        summary: String? = nil
    ) {
        self.effort = effort
        self.budget = budget
        self.isAdaptive = isAdaptive
        self.includesThoughts = includesThoughts
        self.summary = summary
    }

    package var isOff: Bool { budget == 0 || effort == .some(.none) }

    /// The budget that stands for an effort where only budgets exist, in tokens.
    ///
    /// The figures are Google's for its own OpenAI-compatible endpoint: low 1,024, medium 8,192, high 24,576.
    package var resolvedBudget: Int64? {
        if let budget { return budget }
        switch effort {
        case nil: return isAdaptive ? -1 : nil
        case .some(.none): return 0
        case .minimal, .low: return 1024
        case .medium: return 8192
        case .high: return 24_576
        case .xhigh, .max: return 32_768
        }
    }

    /// The effort that stands for a budget where only efforts exist.
    package var resolvedEffort: Effort? {
        if let effort { return effort }
        guard let budget else { return isAdaptive ? .medium : nil }
        switch budget {
        case 0: return .some(.none)
        case ..<0: return .medium
        case ..<4096: return .low
        case ..<16_384: return .medium
        default: return .high
        }
    }
}
