import Formats

/// `GET /backend-api/wham/usage`: how much of a subscription's windows is used.
enum SubscriptionUsage {
    /// - Parameter now: seconds since 1970.
    static func body(now: Int64) -> [UInt8] {
        JSONWriter.object { text in
            text.member("plan_type", "plus")
            text.objectMember("rate_limit") { text in
                text.member("allowed", true)
                text.member("limit_reached", false)
                write("primary_window", used: 42, seconds: 18_000, after: 9_000, now, to: &text)
                write("secondary_window", used: 17, seconds: 604_800, after: 302_400, now, to: &text)
            }
            text.objectMember("credits") {
                $0.member("has_credits", false)
                $0.member("unlimited", false)
                $0.null("balance")
            }
        }
    }

    private static func write(
        _ name: StaticString,
        used: Int,
        seconds: Int,
        after: Int64,
        _ now: Int64,
        to text: inout JSONWriter
    ) {
        text.objectMember(name) {
            $0.member("used_percent", used)
            $0.member("limit_window_seconds", seconds)
            $0.member("reset_after_seconds", after)
            $0.member("reset_at", now &+ after)
        }
    }
}
