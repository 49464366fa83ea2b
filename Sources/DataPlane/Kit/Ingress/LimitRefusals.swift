import Decisions
import Domain
import Snapshots

/// How a caller is told that a limit stands in the way. Never in amounts: whoever holds a key need not know them.
enum LimitRefusals {
    /// - Parameters:
    ///   - answer: of an admission that refused because of money or of limits a minute; nil for any other.
    ///   - language: of the text.
    static func error(_ answer: AdmissionAnswer, now: Timestamp, language: CallerLanguage) -> GatewayError? {
        switch answer {
        case .keyQuotaExhausted:
            return GatewayError(.keyQuotaExhausted, language.text.keyQuota)
        case .policyExhausted(nil):
            return GatewayError(.policyExhausted, language.text.policy + language.text.needsReset)
        case .policyExhausted(let end?):
            let seconds = Self.seconds(from: now, until: end)
            return GatewayError(
                .policyExhausted,
                language.text.policy + language.recovers(inSeconds: seconds),
                retryAfterSeconds: seconds
            )
        case .noSubscription:
            return AdmissionPolicy.noSubscription
        case .subscriptionExceeded(let window, let end):
            let seconds = Self.seconds(from: now, until: end)
            return GatewayError(
                .subscriptionLimitExceeded,
                language.text.subscription(window) + language.recovers(inSeconds: seconds),
                retryAfterSeconds: seconds
            )
        case .balanceSpent:
            return GatewayError(.insufficientBalance, language.text.balance)
        case .rateLimited(let rate, let milliseconds, _):
            return GatewayError(
                .rateLimited,
                language.text.rate(rate),
                retryAfterSeconds: max(1, Int(clamping: (milliseconds &+ 999) / 1000))
            )
        case .budgetInUse:
            return GatewayError(.budgetInUse, language.text.inUse, retryAfterSeconds: 1)
        case .unsure:
            return GatewayError(
                .unavailable,
                language.text.unsure,
                retryAfterSeconds: AdmissionStore.secondsToReserveAgain
            )
        case .admitted, .stale, .forgotten, .busy:
            return nil
        }
    }

    static func seconds(from now: Timestamp, until end: Timestamp) -> Int {
        max(1, Int(clamping: (end.microseconds &- now.microseconds &+ 999_999) / 1_000_000))
    }
}

/// A language in which callers are told why they have to wait.
enum CallerLanguage: Equatable {
    case english
    case chinese

    /// The first of `Accept-Language` (RFC 9110, 12.5.4) by weight that is spoken here; else English.
    init(acceptLanguage: String?) {
        var best: (language: CallerLanguage, weight: Double)?
        for range in (acceptLanguage ?? "").split(separator: ",").prefix(32) {
            let parts = range.split(separator: ";")
            guard let tag = parts.first?.filter({ $0 != " " }).lowercased() else { continue }
            let primary = tag.prefix { $0 != "-" }
            let language: CallerLanguage
            switch primary {
            case "zh": language = .chinese
            case "en", "*": language = .english
            default: continue
            }
            let weight =
                parts.dropFirst().lazy.map { $0.filter { $0 != " " } }.first { $0.hasPrefix("q=") }
                .flatMap { Double($0.dropFirst(2)) } ?? 1
            if weight > 0, weight > best?.weight ?? 0 { best = (language, weight) }
        }
        self = best?.language ?? .english
    }

    struct Texts: Sendable {
        let keyQuota: String
        let policy: String
        let needsReset: String
        let balance: String
        let inUse: String
        let unsure: String
        let subscription: @Sendable (CounterNames.SubscriptionWindow) -> String
        let rate: @Sendable (AdmissionAnswer.Rate) -> String
    }

    var text: Texts {
        switch self {
        case .english: Self.englishTexts
        case .chinese: Self.chineseTexts
        }
    }

    /// When it works again, roughly.
    func recovers(inSeconds seconds: Int) -> String {
        switch self {
        case .english: " It recovers \(RecoveryText.about(seconds: seconds))."
        case .chinese: "预计\(RecoveryText.aboutInChinese(seconds: seconds))后恢复。"
        }
    }

    private static let englishTexts = Texts(
        keyQuota: "The quota of this API key is used up.",
        policy: "The periodic quota of this API key is used up.",
        needsReset: " An administrator must reset it.",
        balance: "The balance is used up. Top it up to go on.",
        inUse: "What is left of the budget is in use by other calls; try again in a moment.",
        unsure: "What other calls have reserved is being counted anew; try again in a moment.",
        subscription: { "The \($0.english) limit of the subscription is reached." },
        rate: {
            switch $0 {
            case .userRequests: "Too many requests a minute for this user; wait."
            case .keyRequests: "Too many requests a minute for this API key; wait."
            case .keyTokens: "Too many tokens a minute for this API key; wait."
            }
        }
    )

    private static let chineseTexts = Texts(
        keyQuota: "此 API 密钥的额度已用完。",
        policy: "此 API 密钥的周期额度已用完。",
        needsReset: "需由管理员重置。",
        balance: "余额已用完，请充值后继续。",
        inUse: "剩余预算正被其他请求占用，请稍后重试。",
        unsure: "正在重新统计其他请求占用的预算，请稍后重试。",
        subscription: { "已达到订阅的\($0.chinese)限额。" },
        rate: {
            switch $0 {
            case .userRequests: "该用户每分钟的请求过多，请稍候。"
            case .keyRequests: "此 API 密钥每分钟的请求过多，请稍候。"
            case .keyTokens: "此 API 密钥每分钟的令牌过多，请稍候。"
            }
        }
    )
}

extension CounterNames.SubscriptionWindow {
    fileprivate var english: String {
        switch self {
        case .day: "daily"
        case .week: "weekly"
        case .month: "monthly"
        }
    }

    fileprivate var chinese: String {
        switch self {
        case .day: "每日"
        case .week: "每周"
        case .month: "每月"
        }
    }
}
