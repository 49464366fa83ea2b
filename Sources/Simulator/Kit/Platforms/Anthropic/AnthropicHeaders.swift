import Formats
import HTTPMessages

/// The header fields of the API's answers. Some of them are there because a gateway must not let them through.
struct AnthropicHeaders {
    let requestID: String
    let organizationID: String
    let workspaceID: String
    /// Seconds since 1970.
    let now: Int64
    let isOAuth: Bool

    /// Calls a minute that an API key may make, as the answers say; no call is counted.
    private static let requestLimit = 4_000
    private static let inputLimit = 400_000
    private static let outputLimit = 80_000

    init(sequence: Int, credential: Credential?, now: Int64) {
        let number = String(sequence)
        requestID = "req_sim" + String(repeating: "0", count: max(0, 17 - number.count)) + number
        let digest = Digest.hex(Digest((credential?.secret ?? "").utf8).final)
        workspaceID = "wrkspc_sim\(digest)"
        organizationID = "00000000-0000-4000-8000-\(digest.suffix(12))"
        self.now = now / 1_000_000
        isOAuth = credential?.isAnthropicOAuth ?? false
    }

    func fields(contentType: String) -> HeaderFields {
        var fields = HeaderFields.edge(contentType: contentType)
        fields.add("request-id", requestID)
        fields.add("anthropic-organization-id", organizationID)
        fields.add("anthropic-workspace-id", workspaceID)
        fields.add("x-robots-tag", "none")
        fields.add("strict-transport-security", "max-age=31536000; includeSubDomains; preload")
        return fields
    }

    /// Adds what an admitted call is told about the limits of its key or its subscription.
    func addLimits(to fields: inout HeaderFields) {
        if isOAuth { return addWindows(to: &fields, utilisation: "0.42", status: "allowed") }
        let reset = RFC3339.format((now + 1) * 1_000_000, .seconds)
        for (name, limit, used) in [
            ("requests", Self.requestLimit, 1), ("input-tokens", Self.inputLimit, 1_000),
            ("output-tokens", Self.outputLimit, 0), ("tokens", Self.inputLimit + Self.outputLimit, 1_000),
        ] {
            fields.add("anthropic-ratelimit-\(name)-limit", "\(limit)")
            fields.add("anthropic-ratelimit-\(name)-remaining", "\(limit - used)")
            fields.add("anthropic-ratelimit-\(name)-reset", reset)
        }
    }

    /// Adds a subscription's windows of five hours and seven days, as they are when a call is admitted.
    private func addWindows(to fields: inout HeaderFields, utilisation: String, status: String) {
        let fiveHours = (now / 3600 + 5) * 3600
        fields.add("anthropic-ratelimit-unified-status", status)
        fields.add("anthropic-ratelimit-unified-reset", "\(fiveHours)")
        fields.add("anthropic-ratelimit-unified-representative-claim", "five_hour")
        fields.add("anthropic-ratelimit-unified-fallback-percentage", "0.5")
        fields.add("anthropic-ratelimit-unified-overage-status", "rejected")
        fields.add("anthropic-ratelimit-unified-5h-status", status)
        fields.add("anthropic-ratelimit-unified-5h-reset", "\(fiveHours)")
        fields.add("anthropic-ratelimit-unified-5h-utilization", utilisation)
        fields.add("anthropic-ratelimit-unified-7d-status", "allowed")
        fields.add("anthropic-ratelimit-unified-7d-reset", "\((now / 86_400 + 5) * 86_400)")
        fields.add("anthropic-ratelimit-unified-7d-utilization", "0.17")
    }

    /// Adds what a 429 says about when it ends.
    ///
    /// | variant | says |
    /// |---|---|
    /// | `retry` | `retry-after` alone |
    /// | `reset` | `retry-after`, and the request limit is used up until then |
    /// | `unified`, `weekly` | the window of 5 hours, of 7 days is rejected until then |
    /// | `family` | the window of 7 days of the model's family is (`7d_opus`), all others are not |
    /// | `ms` | like `unified`, the time in milliseconds |
    /// | `past` | like `unified`, so many seconds ago |
    /// | those of `AbsurdReset` | like `unified`, and `retry-after`, with such a time |
    /// | anything else | nothing |
    func addReset(_ variant: String, seconds: Int64, model: String?, to fields: inout HeaderFields) {
        if let text = AbsurdReset.text(variant) {
            fields.add("retry-after", text)
            return addRejection(of: "5h", claim: "five_hour", until: text, to: &fields)
        }
        let reset = now &+ seconds
        switch variant {
        case "retry": fields.add("retry-after", "\(seconds)")
        case "reset":
            fields.add("retry-after", "\(seconds)")
            fields.add("anthropic-ratelimit-requests-limit", "\(Self.requestLimit)")
            fields.add("anthropic-ratelimit-requests-remaining", "0")
            fields.add("anthropic-ratelimit-requests-reset", RFC3339.format(reset * 1_000_000, .seconds))
        case "unified": addRejection(of: "5h", claim: "five_hour", until: "\(reset)", to: &fields)
        case "weekly": addRejection(of: "7d", claim: "seven_day", until: "\(reset)", to: &fields)
        case "family":
            let family = Self.families.first { model?.firstRange(of: $0) != nil } ?? "opus"
            addRejection(of: "7d_\(family)", claim: "seven_day_\(family)", until: "\(reset)", to: &fields)
        case "ms": addRejection(of: "5h", claim: "five_hour", until: "\(reset &* 1000)", to: &fields)
        case "past": addRejection(of: "5h", claim: "five_hour", until: "\(now &- seconds)", to: &fields)
        default: break
        }
    }

    private static let families = ["opus", "sonnet", "haiku"]

    private func addRejection(of window: String, claim: String, until reset: String, to fields: inout HeaderFields) {
        let other = window == "5h" ? "7d" : "5h"
        fields.add("anthropic-ratelimit-unified-status", "rejected")
        fields.add("anthropic-ratelimit-unified-reset", reset)
        fields.add("anthropic-ratelimit-unified-representative-claim", claim)
        fields.add("anthropic-ratelimit-unified-\(window)-status", "rejected")
        fields.add("anthropic-ratelimit-unified-\(window)-reset", reset)
        fields.add("anthropic-ratelimit-unified-\(window)-utilization", "1.03")
        fields.add("anthropic-ratelimit-unified-\(other)-status", "allowed")
        fields.add("anthropic-ratelimit-unified-\(other)-reset", "\((now / 3600 + 3) * 3600)")
        fields.add("anthropic-ratelimit-unified-\(other)-utilization", "0.31")
    }
}

extension Credential {
    /// Whether it is a token of a subscription. A bearer may also be an API key: the official packages send it so.
    var isAnthropicOAuth: Bool { kind == .bearer && secret.hasPrefix("sk-ant-oat") }
}
