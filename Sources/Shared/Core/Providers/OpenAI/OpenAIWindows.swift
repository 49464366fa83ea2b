import Domain
import HTTPMessages

/// The limits in the heads of OpenAI's answers: `x-codex-{primary,secondary}-*` of subscriptions,
/// `x-codex-NAME-{primary,secondary}-*` of models with limits of their own, `x-ratelimit-*-{requests,tokens}` of keys.
struct OpenAIWindows {
    private let headers: HeaderFields

    init(_ headers: HeaderFields) { self.headers = headers }

    private static let slots = ["primary", "secondary"]
    /// Longer windows are the week's.
    private static let longestSession: Int64 = 24 * 60

    private func field(_ slot: String, _ name: String) -> String { "x-codex-\(slot)-\(name)" }

    /// Hundredths of a percent.
    private func used(_ slot: String) -> Int? {
        guard let text = headers[field(slot, "used-percent")], case .value(let millionths)? = Decimal(text) else {
            return nil
        }
        return AnthropicWindows.bounded(millionths / 10_000)
    }

    /// The point in time says more than the time until it, which has been on its way.
    private func end(_ slot: String, _ reader: inout ResetReader) -> Timestamp? {
        reader.time(headers[field(slot, "reset-at")], field(slot, "reset-at"))
            ?? reader.delay(headers[field(slot, "reset-after-seconds")], field(slot, "reset-after-seconds"))
    }

    private func isExhausted(_ slot: String) -> Bool { used(slot).map { $0 >= UsageWindow.whole } ?? false }

    /// The ends of windows that are used up.
    func exhaustedEnds(_ reader: inout ResetReader) -> [Timestamp] {
        Self.slots.compactMap { isExhausted($0) ? end($0, &reader) : nil }
    }

    /// The ends of the windows of the model that was asked, where it has some of its own: the head names the limit that
    /// counts (`codex_bengalfox` for `x-codex-bengalfox-*`), and has others beside it.
    func modelEnds(_ reader: inout ResetReader) -> [Timestamp] {
        guard let active = headers["x-codex-active-limit"]?.lowercased(), active.hasPrefix("codex_") else { return [] }
        let family = active.dropFirst("codex_".count)
        return Self.slots.compactMap { slot in
            let slot = "\(family)-\(slot)"
            return isExhausted(slot) ? end(slot, &reader) : nil
        }
    }

    /// The ends of a key's limits that are used up.
    func keyEnds(_ reader: inout ResetReader) -> [Timestamp] {
        ["requests", "tokens"].compactMap { kind in
            guard headers["x-ratelimit-remaining-\(kind)"] == "0" else { return nil }
            let name = "x-ratelimit-reset-\(kind)"
            return reader.delay(headers[name], name)
        }
    }

    /// Which window stands in which place differs by subscription: its length tells.
    func sample(_ reader: inout ResetReader) -> AccountWindows {
        var sample = AccountWindows()
        for slot in Self.slots {
            guard let used = used(slot) else { continue }
            var minutes = slot == "primary" ? 300 : Self.longestSession + 1
            if let text = headers[field(slot, "window-minutes")], case .value(let value)? = Decimal(text) {
                minutes = value / 1_000_000
            }
            guard minutes > 0 else { continue }
            let window = UsageWindow(used: used, endsAt: end(slot, &reader), isExhausted: used >= UsageWindow.whole)
            if minutes < Self.longestSession { sample.fiveHours = window } else { sample.sevenDays = window }
        }
        return sample
    }
}
