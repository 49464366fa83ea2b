import Formats
import HTTPMessages

extension GeminiErrors {
    /// The 429 answers; the number is seconds (60).
    ///
    /// | variant | says |
    /// |---|---|
    /// | `retry` | `RetryInfo.retryDelay` |
    /// | `reset`, `quota` | `ErrorInfo.metadata.quotaResetDelay` (`1h0m5s`) with the model and the time |
    /// | `header` | `retry-after` alone |
    /// | `unified`, `weekly` | as `quota`: Google has no such windows |
    /// | `ms` | `retryDelay` in fractions of a second: the number is ms |
    /// | `past` | `quotaResetDelay` of a time that is over |
    /// | `model` | `RetryInfo.retryDelay`, and `QuotaFailure` names a quota of the model alone |
    /// | those of `AbsurdReset` | `retryDelay` with such a time |
    /// | `capacity` | no capacity for the model, without a reset |
    /// | `credits` | the credits for AI are used up |
    /// | anything else | nothing |
    func exhausted(_ variant: String, _ amount: Int?, _ model: String?) -> AnswerPlan {
        // A century at most: the sums with the time of day cannot overflow.
        let seconds = Int64(min(amount ?? 60, 3_000_000_000))
        if let text = AbsurdReset.text(variant) {
            return plan(429, Self.quota) { retryInfo(text == "soon" ? text : text + "s", to: &$0) }
        }
        switch variant {
        case "retry": return plan(429, Self.quota) { retryInfo("\(seconds)s", to: &$0) }
        case "model":
            return plan(429, Self.quota) {
                Self.quotaFailure(model ?? "", to: &$0)
                retryInfo("\(seconds)s", to: &$0)
            }
        case "ms": return plan(429, Self.quota) { retryInfo(Self.fraction(seconds), to: &$0) }
        case "header":
            var answer = plan(429, Self.quota)
            answer.head?.headers.add("retry-after", "\(seconds)")
            return answer
        case "reset", "quota", "unified", "weekly":
            return plan(429, "You have exhausted your capacity on this model. Your quota will reset later.") {
                resetInfo(Self.duration(seconds), at: now &+ seconds, model, to: &$0)
                retryInfo(Self.duration(seconds), to: &$0)
            }
        case "past":
            return plan(429, Self.quota) { resetInfo("-\(seconds)s", at: now &- seconds, model, to: &$0) }
        case "capacity":
            return plan(429, "No capacity available for model \(model ?? "") on the server") {
                info("MODEL_CAPACITY_EXHAUSTED", to: &$0) { $0.member("model", model) }
            }
        case "credits":
            return plan(429, "Insufficient AI credits: your Google One AI credits balance is insufficient.") {
                info("INSUFFICIENT_G1_CREDITS_BALANCE", to: &$0) { $0.member("model", model) }
            }
        default: return plan(429, "Resource has been exhausted (e.g. check quota).")
        }
    }

    private static let quota = "You exceeded your current quota, please check your plan and billing details."

    private func retryInfo(_ delay: String, to text: inout JSONWriter) {
        text.object {
            $0.member("@type", "type.googleapis.com/google.rpc.RetryInfo")
            $0.member("retryDelay", delay)
        }
    }

    private static func quotaFailure(_ model: String, to text: inout JSONWriter) {
        text.object { text in
            text.member("@type", "type.googleapis.com/google.rpc.QuotaFailure")
            text.arrayMember("violations") { text in
                text.object { text in
                    text.member("quotaMetric", "generativelanguage.googleapis.com/generate_content_requests")
                    text.member("quotaId", "GenerateRequestsPerMinutePerProjectPerModel")
                    text.objectMember("quotaDimensions") {
                        $0.member("location", "global")
                        $0.member("model", model)
                    }
                }
            }
        }
    }

    private func resetInfo(_ delay: String, at time: Int64, _ model: String?, to text: inout JSONWriter) {
        info("QUOTA_EXHAUSTED", to: &text) {
            $0.member("model", model)
            $0.member("quotaResetDelay", delay)
            $0.member("quotaResetTimeStamp", RFC3339.format(time &* 1_000_000, .seconds))
        }
    }

    private static func duration(_ seconds: Int64) -> String {
        guard seconds >= 3600 else { return "\(seconds)s" }
        return "\(seconds / 3600)h\(seconds / 60 % 60)m\(seconds % 60)s"
    }

    private static func fraction(_ milliseconds: Int64) -> String {
        let rest = String(milliseconds % 1000)
        return "\(milliseconds / 1000).\(String(repeating: "0", count: 3 - rest.count))\(rest)s"
    }
}
