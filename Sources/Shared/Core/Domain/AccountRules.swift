/// What an admin has said about how an account's refusals are to be taken.
package struct AccountRules: Hashable, Sendable {
    /// The upstream is a pool itself: its refusals say nothing of the account.
    package var isPoolMode: Bool
    /// Retries of a 401, 403 or 429 in pool mode.
    package var poolRetryCount: Int
    /// Where there are any, these statuses put the account in error and no others touch it.
    package var customErrorCodes: [Int]
    package var pauseRules: [PauseRule]

    package init(
        isPoolMode: Bool = false,
        poolRetryCount: Int = Self.defaultPoolRetryCount,
        customErrorCodes: [Int] = [],
        pauseRules: [PauseRule] = []
    ) {
        self.isPoolMode = isPoolMode
        self.poolRetryCount = poolRetryCount
        self.customErrorCodes = customErrorCodes
        self.pauseRules = pauseRules
    }

    package static let defaultPoolRetryCount = 3
    package static let maximumPoolRetryCount = 10
}

/// An account's own rule: an answer with this status and one of these texts pauses the account for so many minutes.
package struct PauseRule: Hashable, Sendable {
    package var status: Int64
    /// In any case; none at all matches every text.
    package var keywords: [String]
    package var minutes: Int64

    package init(status: Int64 = 0, keywords: [String] = [], minutes: Int64 = 0) {
        self.status = status
        self.keywords = keywords
        self.minutes = minutes
    }

    package static let statuses: ClosedRange<Int64> = 100...599
    package static let minuteRange: ClosedRange<Int64> = 1...10_080
}
