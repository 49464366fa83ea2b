import Formats
import HTTPMessages

/// The header fields of OpenAI's answers.
struct OpenAIHeaders {
    let requestID: String
    let organization: String
    /// Seconds since 1970.
    let now: Int64
    /// Whether it is the backend that ChatGPT's subscriptions call.
    let isSubscription: Bool

    private static let requestLimit = 5_000
    private static let tokenLimit = 800_000

    init(sequence: Int, credential: Credential?, now: Int64, isSubscription: Bool) {
        requestID = "req_" + Digest.hex(UInt64(truncatingIfNeeded: sequence))
        organization = "org-sim" + Digest((credential?.secret ?? "").utf8).hex
        self.now = now / 1_000_000
        self.isSubscription = isSubscription
    }

    func fields(contentType: String) -> HeaderFields {
        var fields = HeaderFields.edge(contentType: contentType)
        fields.add("x-request-id", requestID)
        fields.add("openai-organization", organization)
        fields.add("openai-processing-ms", "17")
        fields.add("openai-project", "proj_sim")
        fields.add("openai-version", "2020-10-01")
        return fields
    }

    /// Adds what an admitted call is told about the limits of its key or its subscription.
    func addLimits(to fields: inout HeaderFields) {
        if isSubscription { return addWindows(primary: "42", secondary: "17", seconds: 9_000, to: &fields) }
        for (name, limit, used, reset) in [
            ("requests", Self.requestLimit, 1, "12ms"), ("tokens", Self.tokenLimit, 1_000, "75ms"),
        ] {
            fields.add("x-ratelimit-limit-\(name)", "\(limit)")
            fields.add("x-ratelimit-remaining-\(name)", "\(limit - used)")
            fields.add("x-ratelimit-reset-\(name)", reset)
        }
    }

    /// Adds what a 429 says in its header about when it ends.
    ///
    /// | variant | says |
    /// |---|---|
    /// | `retry` | `retry-after` alone |
    /// | `reset` | `retry-after`, and the request limit is used up until then |
    /// | `codex`, `unified` | the subscription's window of 5 hours is used up |
    /// | `codexweekly`, `weekly` | its window of 7 days is |
    /// | anything else | nothing |
    func addReset(_ variant: String, seconds: Int64, to fields: inout HeaderFields) {
        switch variant {
        case "retry": fields.add("retry-after", "\(seconds)")
        case "reset":
            fields.add("retry-after", "\(seconds)")
            fields.add("x-ratelimit-limit-requests", "\(Self.requestLimit)")
            fields.add("x-ratelimit-remaining-requests", "0")
            fields.add("x-ratelimit-reset-requests", Self.duration(seconds))
        case "codex", "unified": addWindows(primary: "100", secondary: "31", seconds: seconds, to: &fields)
        case "codexweekly", "weekly":
            addWindows(primary: "31", secondary: "100", seconds: seconds, to: &fields)
        default: break
        }
    }

    /// Adds how much of a subscription's windows is used. The window that is used up ends after `seconds`.
    private func addWindows(primary: String, secondary: String, seconds: Int64, to fields: inout HeaderFields) {
        for (name, used, minutes) in [("primary", primary, 300 as Int64), ("secondary", secondary, 10_080)] {
            let rest = used == "31" ? minutes * 30 : seconds
            fields.add("x-codex-\(name)-used-percent", used)
            fields.add("x-codex-\(name)-window-minutes", "\(minutes)")
            fields.add("x-codex-\(name)-reset-after-seconds", "\(rest)")
            fields.add("x-codex-\(name)-reset-at", "\(now &+ rest)")
        }
        fields.add("x-codex-plan-type", "plus")
        fields.add("x-codex-primary-over-secondary-limit-percent", "0")
        fields.add("x-codex-credits-has-credits", "False")
        fields.add("x-codex-credits-unlimited", "False")
        fields.add("x-codex-credits-balance", "")
    }

    /// A time as the rate-limit fields have it: `1h0m5s`.
    static func duration(_ seconds: Int64) -> String {
        let hours = seconds / 3600
        let minutes = seconds / 60 % 60
        return (hours > 0 ? "\(hours)h" : "") + (hours > 0 || minutes > 0 ? "\(minutes)m" : "") + "\(seconds % 60)s"
    }
}
