/// What a Gemini model can do, by its name, where the API refuses what it cannot.
internal struct GeminiModels {
    /// How much a model can be told to think.
    enum Thinking: Equatable {
        /// Not at all.
        case none
        /// `thinkingBudget`, within these bounds; `canBeOff` where 0 is allowed as well.
        case budget(ClosedRange<Int64>, canBeOff: Bool)
        /// `thinkingLevel`; not every model knows `MINIMAL`, all know `LOW`.
        case level(knowsMinimal: Bool)
    }

    private static let withMinimal = ["3-flash", "3.5-flash", "3.6-flash"]

    let thinking: Thinking
    /// Whether it refuses calls of earlier turns that come without their seal.
    let needsSeals: Bool

    /// Reads `gemini-2.5-flash-lite`, `models/gemini-3-pro-preview`. A Gemini name that says nothing counts as new; any
    /// other model is told nothing of thinking (Google, "Thinking").
    init(_ name: String) {
        guard let start = name.firstRange(of: "gemini-")?.upperBound else {
            thinking = .none
            needsSeals = false
            return
        }
        let rest = name[start...]
        let major = rest.prefix { $0.isASCII && $0.isNumber }
        let isPro = rest.firstRange(of: "pro") != nil
        switch Int(major) {
        case 1, 2:
            needsSeals = false
            guard rest.hasPrefix("2.5"), rest.firstRange(of: "image") == nil else {
                thinking = .none
                return
            }
            if isPro {
                thinking = .budget(128...32_768, canBeOff: false)
            } else if rest.firstRange(of: "lite") != nil {
                thinking = .budget(512...24_576, canBeOff: true)
            } else {
                thinking = .budget(1...24_576, canBeOff: true)
            }
        default:
            needsSeals = true
            let isSmall = rest.firstRange(of: "flash-lite") != nil || Self.withMinimal.contains(where: rest.hasPrefix)
            thinking = rest.firstRange(of: "image") == nil ? .level(knowsMinimal: isSmall && !isPro) : .none
        }
    }
}
