/// What a Claude model can do, by its name, where the API refuses what it cannot.
///
/// Sources, of November 2026: platform.claude.com, "Adaptive thinking", "Effort", "Structured outputs", the models'
/// overviews and the migration guides to 4.7, 5, Opus 5.5, Sonnet 5.5 and Haiku 5.5; docs.aws.amazon.com, "Adaptive
/// thinking" of the Bedrock guide.
internal struct AnthropicModels {
    private enum Family: String { case opus, sonnet, haiku, fable, mythos }

    /// 3.5 is 305, 4.6 is 406. A Claude without a number counts as new; whatever else speaks this API knows its older
    /// forms.
    private let version: Int
    private let family: Family?
    private let isKnown: Bool

    private static let unnumbered = 9900

    /// Reads `claude-opus-4-6`, `claude-3-7-sonnet-20250219`, `us.anthropic.claude-sonnet-4-20250514-v1:0`.
    init(_ name: String) {
        guard let start = name.firstRange(of: "claude-")?.upperBound else {
            (version, family, isKnown) = (405, nil, false)
            return
        }
        let words = name[start...].split(whereSeparator: { $0 == "-" || $0 == "@" || $0 == "." })
        family = words.lazy.compactMap { Family(rawValue: String($0)) }.first
        // Dates have eight digits; `v1:0` is no number.
        let numbers = words.compactMap { $0.utf8.count <= 2 ? Int($0) : nil }
        if let major = numbers.first, (0...98).contains(major) {
            version = major * 100 + max(0, numbers.dropFirst().first ?? 0)
            isKnown = true
        } else {
            // Mythos' preview came with 4.7, without its efforts.
            version = words.contains("preview") ? 406 : Self.unnumbered
            isKnown = false
        }
    }

    // MARK: Thinking

    /// How a caller's wish that the model shall not think is told.
    enum WithoutThinking {
        /// `"type":"disabled"`
        case disabled
        /// `"type":"between_tools"`: no thinking before the answer.
        case betweenTools
        /// Not at all: the model thinks always, least at the lowest effort.
        case lowestEffort
    }

    var canThink: Bool { version >= 307 }
    /// Whether it decides itself how much to think, with `output_config.effort` as the guide; from 4.7 on it takes no
    /// budget.
    var isAdaptive: Bool { version >= 406 }

    var withoutThinking: WithoutThinking {
        switch family {
        case .fable, .mythos: .lowestEffort
        case .opus: version >= 505 ? .lowestEffort : .disabled
        case .sonnet: version >= 505 ? .betweenTools : .disabled
        case .haiku: .disabled
        // What cannot be refused.
        case nil: version >= Self.unnumbered ? .lowestEffort : .disabled
        }
    }

    /// Whether thoughts come without their text unless it is asked for (`thinking.display`).
    var hidesThoughts: Bool { version >= 407 }
    var hasExtraHighEffort: Bool { version >= 407 && isKnown }

    // MARK: Other members

    /// Whether a call of a tool may be forced. The models that think always refuse it.
    var canForceTools: Bool {
        switch family {
        case .opus, .sonnet: version < 505
        case .fable, .mythos: version < 501
        case .haiku, nil: true
        }
    }

    /// Whether an answer can be held to a schema (`output_config.format`, `strict` of tools).
    var hasSchemas: Bool { version >= 405 }
    /// Whether `temperature`, `top_p` and `top_k` may differ from their defaults.
    var takesSampling: Bool { version < 407 && !(family == .mythos || family == .fable) }
    /// Whether `temperature` and `top_p` may stand beside each other.
    var takesTwoSamplings: Bool { version < 401 || family == nil }

    // MARK: Lengths

    /// The most that `max_tokens` may be.
    private var maximumTokens: Int64 {
        switch version {
        case ..<305: 4096
        case ..<307: 8192
        case 400...401 where family == .opus: 32_000
        case ..<406: 64_000
        default: 128_000
        }
    }

    /// `max_tokens` for callers whose dialect lets them leave it out.
    ///
    /// - Parameter budget: of thinking, in tokens; it counts towards `max_tokens` and leaves half to the answer.
    func defaultMaxTokens(withBudget budget: Int64 = 0) -> Int64 { min(32_000 + budget, maximumTokens) }

    /// The part of a wished-for thinking budget that fits into the model's longest answer beside the answer.
    func budget(_ wanted: Int64) -> Int64 { min(wanted, maximumTokens / 2) }
}
