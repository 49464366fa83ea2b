/// What a Claude model can do, by its name, where the API refuses what it cannot.
internal struct AnthropicModels {
    /// 3.5 is 305, 4.6 is 406. A Claude without a number counts as new; whatever else speaks this API knows its older
    /// forms.
    private let version: Int

    /// Reads `claude-opus-4-6`, `claude-3-7-sonnet-20250219`, `us.anthropic.claude-sonnet-4-20250514-v1:0`.
    init(_ name: String) {
        guard let start = name.firstRange(of: "claude-")?.upperBound else {
            version = 405
            return
        }
        // Dates have eight digits; `v1:0` is no number.
        let numbers = name[start...].split(whereSeparator: { $0 == "-" || $0 == "@" || $0 == "." })
            .compactMap { $0.utf8.count <= 2 ? Int($0) : nil }
        guard let major = numbers.first, (0...99).contains(major) else {
            version = .max
            return
        }
        let minor = numbers.dropFirst().first ?? 0
        version = major * 100 + max(0, minor)
    }

    var canThink: Bool { version >= 307 }
    /// Whether it decides itself how much to think, with `output_config.effort` as the guide.
    var isAdaptive: Bool { version >= 406 }
    var hasExtraHighEffort: Bool { version >= 407 }

    /// `max_tokens` for callers whose dialect lets them leave it out: the most that every model of the line takes.
    var defaultMaxTokens: Int64 {
        switch version {
        case ..<305: 4096
        case ..<307: 8192
        default: 32_000
        }
    }
}
