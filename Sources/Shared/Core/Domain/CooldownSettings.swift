/// How long accounts rest where the upstream does not say: the settings `overload-cooldown` and `rate-limit-cooldown`,
/// and of the setting `gateway` the pause after a 401.
package struct CooldownSettings: Hashable, Sendable {
    /// After a 529; nil where it is switched off.
    package var overload: Duration?
    /// After a 429 without a reset; nil where it is switched off.
    package var rateLimit: Duration?
    package var unauthorized: Duration

    package init(
        overload: Duration? = Self.defaultOverload,
        rateLimit: Duration? = Self.defaultRateLimit,
        unauthorized: Duration = .seconds(600)
    ) {
        self.overload = overload
        self.rateLimit = rateLimit
        self.unauthorized = unauthorized
    }

    package static let overloadMinutes: ClosedRange<Int64> = 1...120
    package static let defaultOverloadMinutes: Int64 = 10
    package static let defaultOverload = Duration.seconds(60 * defaultOverloadMinutes)
    package static let rateLimitSeconds: ClosedRange<Int64> = 1...7200
    package static let defaultRateLimitSeconds: Int64 = 5
    package static let defaultRateLimit = Duration.seconds(defaultRateLimitSeconds)
}
