package import Crypto
package import Domain
package import Formats
package import HTTPMessages

/// How an upstream is asked what of an account is used, and what its answers say. Pure: who asks is somebody else's
/// business.
package protocol UsageProbe: Sendable {
    /// What is asked, all at once.
    ///
    /// - Returns: nil when a credential is missing.
    func questions(_ secrets: [String: Secret]) -> [UsageQuestion]?
    /// Adds what an answer of success says.
    ///
    /// - Returns: whether it could be read; nothing is added when not.
    func read(
        _ answer: JSON,
        to question: UsageQuestion.Subject,
        now: Timestamp,
        into usage: inout AccountUsage
    ) -> Bool
    var verdicts: VerdictTable { get }
}

/// One request of a probe.
package struct UsageQuestion: Sendable {
    package enum Subject: String, Sendable, CaseIterable { case windows, models, subscription }

    package var subject: Subject
    package var head: HTTPRequestHead
    package var body: [UInt8]
    /// Whether the probe fails where this one does.
    package var isEssential: Bool

    package init(_ subject: Subject, _ head: HTTPRequestHead, body: [UInt8] = [], isEssential: Bool = true) {
        self.subject = subject
        self.head = head
        self.body = body
        self.isEssential = isEssential
    }
}

extension UsageProbe {
    /// What a refusal means.
    package func failure(_ answer: UpstreamAnswer, type: AccountType, now: Timestamp) -> UsageFailure {
        let text = ErrorText.kept(answer)
        switch answer.status {
        case 401: return UsageFailure(.unauthenticated, text)
        case 429: return UsageFailure(.rateLimited, text)
        // A page of a proxy on the way says nothing of the account.
        case 403 where !answer.isHTML:
            let verdict = verdicts.verdict(.refused(answer), VerdictContext(now: now, accountType: type))
            for case .error(let error) in verdict.effects {
                return UsageFailure(
                    .forbidden,
                    error.message,
                    forbiddenType: error.forbiddenType,
                    validationURL: error.validationURL
                )
            }
            return UsageFailure(.forbidden, text)
        default: return UsageFailure(.networkError, text)
        }
    }
}

/// Figures of usage answers.
enum UsageFigures {
    /// Hundredths of a percent, from percent as a JSON number; nil for what makes no sense.
    static func percent(_ json: JSON?) -> Int? { hundredths(json, times: 100) }

    /// Hundredths of a percent that are used, from the fraction of one that is left.
    static func used(remainingFraction json: JSON?) -> Int? {
        hundredths(json, times: 10_000).map { max(0, UsageWindow.whole - $0) }
    }

    private static func hundredths(_ json: JSON?, times factor: Double) -> Int? {
        guard let value = json?.double, value.isFinite, value >= 0, value * factor <= 1_000_000 else { return nil }
        return Int((value * factor).rounded())
    }

    /// A whole number, also as a text, of at least 0.
    static func count(_ json: JSON?) -> Int64? {
        let value = json?.int64 ?? json?.string.flatMap { Int64($0) }
        return value.flatMap { $0 >= 0 ? $0 : nil }
    }
}
