/// How an upstream has served a call, where that has prices of its own. What upstreams call `default`, `auto`, `scale`
/// and the like is the standard one.
package enum ServiceTier: String, Sendable, CaseIterable {
    case standard
    /// Cheaper, when there is room.
    case flex
    /// Faster, at a premium. OpenAI calls it `fast` as well.
    case priority
    /// The fastest that OpenAI has.
    case ultrafast
    /// Anthropic's fast mode (`speed`).
    case fast
    /// By machines in the United States alone (Anthropic's `inference_geo`).
    case us
    /// Both.
    case fastUS = "fast_us"

    /// As a request or an answer names it in `service_tier`, in any case (Google's enumerations are upper case).
    package init(serviceTier name: String) {
        switch name.lowercased() {
        case "flex": self = .flex
        case "priority", "fast": self = .priority
        case "ultrafast": self = .ultrafast
        default: self = .standard
        }
    }

    package init(isFast: Bool, isUS: Bool) {
        self = isFast ? (isUS ? .fastUS : .fast) : (isUS ? .us : .standard)
    }

    package var isFast: Bool { self == .fast || self == .fastUS }
    package var isUS: Bool { self == .us || self == .fastUS }

    /// The ones that have prices: what is served in two ways costs what both amount to.
    package var priced: [ServiceTier] {
        switch self {
        case .standard: []
        case .fastUS: [.fast, .us]
        case .flex, .priority, .ultrafast, .fast, .us: [self]
        }
    }
}
