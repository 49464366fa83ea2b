/// What a model of OpenAI can do, by its name, where its APIs refuse what it cannot.
///
/// Sources, of November 2026: learn.microsoft.com, `ReasoningEffort`; the API's own refusals ("Supported values are …",
/// "Only the default (1) value is supported") as users of GPT-5, 5.1, 5.4 and 5.6 report them; for sampling with
/// effort `none` the guide to GPT-5.1. Of names that are not OpenAI's the usual is believed.
internal struct OpenAIModels {
    private enum Kind { case thinking, plain, unknown }

    private let kind: Kind
    /// 5.1 is 501; 0 where the name has none.
    private let version: Int
    private let isCodex: Bool
    private let isPro: Bool
    private let isSearch: Bool

    init(_ name: String) {
        isCodex = name.contains("codex")
        isPro = name.contains("-pro")
        isSearch = ChatSearches.alwaysSearches(name)
        version = name.hasPrefix("gpt-") ? Self.version(name.dropFirst(4)) : 0
        if name.hasPrefix("chatgpt-") || name.contains("-chat") || (1..<500).contains(version) {
            kind = .plain
        } else if version >= 500 || name.hasPrefix("codex-") || Self.isNumbered(name) {
            kind = .thinking
        } else {
            kind = .unknown
        }
    }

    /// `5.1-codex`, `4o`.
    private static func version(_ name: Substring) -> Int {
        let numbers = name.prefix { $0 == "." || ("0"..."9").contains($0) }.split(separator: ".")
        guard let major = numbers.first.flatMap({ Int($0) }), (1...99).contains(major) else { return 0 }
        let minor = numbers.dropFirst().first.flatMap { Int($0) } ?? 0
        return major * 100 + min(minor, 99)
    }

    /// `o1`, `o3-mini`.
    private static func isNumbered(_ name: String) -> Bool {
        name.utf8.first == UInt8(ascii: "o") && name.utf8.dropFirst().first.map { (0x31...0x39).contains($0) } ?? false
    }

    var mayThink: Bool { kind != .plain }

    /// The words it knows for how much to think, least first.
    private var efforts: [NeutralReasoning.Effort] {
        switch (kind, version) {
        case (.plain, _): []
        case (.thinking, 500) where isPro: [.high]
        case (.thinking, 501...) where isPro: [.medium, .high, .xhigh]
        case (.thinking, 500) where !isCodex: [.minimal, .low, .medium, .high]
        case (.thinking, 501) where !isCodex: [NeutralReasoning.Effort.none, .low, .medium, .high]
        case (.thinking, 502...505): (isCodex ? [] : [NeutralReasoning.Effort.none]) + [.low, .medium, .high, .xhigh]
        case (.thinking, 506...): [NeutralReasoning.Effort.none, .low, .medium, .high, .xhigh, .max]
        default: [.low, .medium, .high]
        }
    }

    /// The word for what is wished, or for what is nearest to it: rather less than more.
    ///
    /// Nil leaves it to the model. Thinking that is merely switched off is left out where there is no word for it.
    func effort(_ reasoning: NeutralReasoning?) -> NeutralReasoning.Effort? {
        guard let reasoning, let wish = reasoning.resolvedEffort else { return nil }
        let known = efforts
        if reasoning.effort == nil, reasoning.isOff, !known.contains(.none) { return nil }
        return known.last { $0 <= wish } ?? known.first
    }

    /// Whether `temperature`, `top_p` and the penalties may differ from their defaults. Thinking models take none of
    /// them; 5.1 to 5.5 do while they do not think, which is their default.
    /// Models that search refuse them ("Model incompatible request argument supplied").
    func takesSampling(at effort: NeutralReasoning.Effort?) -> Bool {
        guard !isSearch else { return false }
        guard kind == .thinking else { return true }
        return (501...505).contains(version) && efforts.contains(.none) && (effort == nil || effort == .some(.none))
    }

    /// Whether the parameter `stop` exists for it.
    var takesStops: Bool { kind != .thinking }
}
