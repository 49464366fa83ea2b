import Domain
import HTTPMessages

/// The limits in the heads of Anthropic's answers: `anthropic-ratelimit-unified-*` of subscriptions, whose windows are
/// `5h`, `7d` and `7d_FAMILY`, and `anthropic-ratelimit-{requests,tokens,…}-*` of keys.
struct AnthropicWindows {
    private static let prefix = "anthropic-ratelimit-"
    private static let unified = "unified-"
    /// What a subscription includes of models beyond its own: used up, it keeps those out, and the others go on being served.
    private static let included = "7d_oi"

    private static let kinds = ["requests", "tokens", "input-tokens", "output-tokens"]

    private let headers: HeaderFields
    /// The names of the windows that the head speaks of.
    private let names: [String]

    init(_ headers: HeaderFields) {
        self.headers = headers
        var names: [String] = []
        headers.forEach { name, _ in
            guard FieldBytes(raw: name).hasPrefix("anthropic-ratelimit-unified-") else { return }
            let rest = String(decoding: name.dropFirst(Self.prefix.utf8.count + Self.unified.utf8.count), as: UTF8.self)
            // Windows are named by their length; others are not windows, `overage` for one.
            guard rest.utf8.first.map({ $0 &- 0x30 < 10 }) == true, let end = rest.firstIndex(of: "-") else { return }
            let window = String(rest[..<end])
            if names.count < 16, !names.contains(window) { names.append(window) }
        }
        self.names = names
    }

    private func value(_ window: String, _ name: String) -> String? { headers[field(window, name)] }
    private func field(_ window: String, _ name: String) -> String { "\(Self.prefix)\(Self.unified)\(window)-\(name)" }

    private func isExhausted(_ window: String) -> Bool {
        if let status = value(window, "status") { return status == "rejected" }
        return used(window).map { $0 >= UsageWindow.whole } ?? false
    }

    /// Whether any window or limit is used up, whenever that ends. That the call is refused does not say so.
    var isAnyExhausted: Bool {
        names.contains(where: isExhausted)
            || Self.kinds.contains { headers["\(Self.prefix)\($0)-remaining"] == "0" }
    }

    /// A fraction of one, as hundredths of a percent.
    private func used(_ window: String) -> Int? {
        guard let text = value(window, "utilization"), case .value(let millionths)? = Decimal(text) else { return nil }
        return Self.bounded(millionths / 100)
    }

    static func bounded(_ used: Int64) -> Int? { used <= 1_000_000 ? Int(used) : nil }

    /// `opus` of `7d_opus`; nil for a window of all models.
    private static func family(of window: String) -> Substring? {
        window.firstIndex(of: "_").map { window[window.index(after: $0)...] }
    }

    // MARK: Ends of what is used up

    /// The exhausted windows' ends; they hold together, so the later one counts.
    func limits(of model: String, _ reader: inout ResetReader) -> StatedLimits {
        var limits = StatedLimits()
        for window in names where isExhausted(window) && window != Self.included {
            let end = reader.time(value(window, "reset"), field(window, "reset"))
            if let family = Self.family(of: window) {
                // That of another model is no reason for this refusal.
                guard Words.contains(model.lowercased(), String(family)) else { continue }
                limits.model = Self.later(limits.model, end)
            } else {
                limits.account = Self.later(limits.account, end)
            }
        }
        if limits.isEmpty, names.contains(Self.included), isExhausted(Self.included) {
            limits.model = reader.time(value(Self.included, "reset"), field(Self.included, "reset"))
        }
        guard limits.isEmpty, headers["\(Self.prefix)\(Self.unified)status"] == "rejected" else { return limits }
        let name = "\(Self.prefix)\(Self.unified)reset"
        let claim = headers["\(Self.prefix)\(Self.unified)representative-claim"]
        let claimed = claim.flatMap(Self.window).flatMap { reader.time(value($0, "reset"), field($0, "reset")) }
        guard let end = claimed ?? reader.time(headers[name], name) else { return limits }
        let family = claim.flatMap(Self.window).flatMap { Self.family(of: $0).map(String.init) }
        if let family, family == "overage_included" || Words.contains(model.lowercased(), family) {
            limits.model = end
        } else {
            limits.account = end
        }
        return limits
    }

    /// The window that a claim names: `seven_day_opus` is `7d_opus`.
    private static func window(of claim: String) -> String? {
        for (long, short) in [("five_hour", "5h"), ("seven_day", "7d")] where claim.hasPrefix(long) {
            return short + claim.dropFirst(long.count)
        }
        return nil
    }

    private static func later(_ left: Timestamp?, _ right: Timestamp?) -> Timestamp? {
        guard let left, let right else { return left ?? right }
        return max(left, right)
    }

    /// The end of a key's limits that are used up.
    func keyLimit(_ reader: inout ResetReader) -> Timestamp? {
        var end: Timestamp?
        for kind in Self.kinds
        where headers["\(Self.prefix)\(kind)-remaining"] == "0" {
            let name = "\(Self.prefix)\(kind)-reset"
            end = Self.later(end, reader.time(headers[name], name))
        }
        return end
    }

    // MARK: Samples

    func sample(_ reader: inout ResetReader) -> AccountWindows {
        var sample = AccountWindows()
        for name in names {
            let window = UsageWindow(
                used: used(name),
                endsAt: reader.time(value(name, "reset"), field(name, "reset")),
                isExhausted: isExhausted(name)
            )
            switch name {
            case "5h": sample.fiveHours = window
            case "7d": sample.sevenDays = window
            default:
                if name.hasPrefix("7d"), let family = Self.family(of: name) { sample.families[String(family)] = window }
            }
        }
        return sample
    }
}
