import Crypto
import Domain
import Formats
import HTTPMessages

/// `GET /api/oauth/usage`: the windows of a subscription, as its own programs show them. Undocumented; what is read here is
/// `{"five_hour": {"utilization": 33.0, "resets_at": "…"}, "seven_day": …, "seven_day_opus": … | null}`, and of newer models
/// `{"limits": [{"kind": "weekly_scoped", "percent": 52, "resets_at": "…", "scope": {"model": {"display_name": "Fable"}}}]}`.
struct AnthropicUsage: UsageProbe {
    let target: UpstreamTarget
    let beta: String
    let overrides: [String: String]
    let verdicts: VerdictTable

    private static let weekly = "seven_day_"

    func questions(_ secrets: [String: Secret]) -> [UsageQuestion]? {
        guard let token = secrets["access_token"] else { return nil }
        var head = UpstreamHead(to: target, HeaderFields(), forwarding: { _ in false })
        head.add("accept", "application/json")
        head.add("authorization", "Bearer " + token.reveal())
        if !beta.isEmpty { head.add("anthropic-beta", beta) }
        return [UsageQuestion(.windows, head.finish("/api/oauth/usage", method: "GET", overrides: overrides))]
    }

    func read(
        _ answer: JSON,
        to question: UsageQuestion.Subject,
        now: Timestamp,
        into usage: inout AccountUsage
    ) -> Bool {
        guard let members = answer.object else { return false }
        var reader = ResetReader(now: now)
        var windows = AccountWindows()
        for (name, value) in members.prefix(64) where value.object != nil {
            let used = UsageFigures.percent(value["utilization"])
            let window = UsageWindow(
                used: used,
                endsAt: reader.time(value["resets_at"], "resets_at"),
                isExhausted: used.map { $0 >= UsageWindow.whole } ?? false
            )
            switch name {
            case "five_hour": windows.fiveHours = window
            case "seven_day": windows.sevenDays = window
            default:
                guard name.hasPrefix(Self.weekly), used != nil else { continue }
                windows.families[String(name.dropFirst(Self.weekly.count))] = window
            }
        }
        for limit in (answer["limits"]?.array ?? []).prefix(64) where limit["kind"]?.string == "weekly_scoped" {
            guard let name = limit["scope"]?["model"]?["display_name"]?.string, name.utf8.count <= 64 else { continue }
            guard let used = UsageFigures.percent(limit["percent"]) else { continue }
            windows.families[name.lowercased()] = UsageWindow(
                used: used,
                endsAt: reader.time(limit["resets_at"], "resets_at"),
                isExhausted: used >= UsageWindow.whole
            )
        }
        guard !windows.isEmpty else { return false }
        usage.windows = windows
        return true
    }
}
