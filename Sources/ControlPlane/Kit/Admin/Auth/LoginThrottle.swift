package import Reactor

/// Slows down guessing: token buckets by e-mail address and by client address, in memory. Pure but for its own state.
///
/// Every attempt takes a token of both buckets; a successful one gives them back, so that programs which sign in often
/// are never refused.
package struct LoginThrottle {
    package struct Limit: Sendable {
        /// Attempts at once.
        package fileprivate(set) var burst: Double
        /// Seconds until a token is back.
        package let secondsPerToken: Double

        package init(burst: Double, secondsPerToken: Double) {
            self.burst = burst
            self.secondsPerToken = secondsPerToken
        }
    }

    private struct Bucket {
        var tokens: Double
        var at: MonotonicTime
    }

    private var emailLimit: Limit
    private let addressLimit: Limit
    private let capacity: Int
    private var emails: [String: Bucket] = [:]
    private var addresses: [String: Bucket] = [:]

    package init(
        email: Limit = Limit(burst: 10, secondsPerToken: 6),
        address: Limit = Limit(burst: 50, secondsPerToken: 2),
        capacity: Int = 10_000
    ) {
        emailLimit = email
        addressLimit = address
        self.capacity = capacity
    }

    /// Attempts at once for an e-mail address.
    package var emailBurst: Double {
        get { emailLimit.burst }
        set { emailLimit.burst = newValue }
    }

    /// Takes an attempt; returns nil when it may be made, else the seconds after which the next one may.
    package mutating func take(email: String, address: String, now: MonotonicTime) -> Int? {
        let email = email.lowercased()
        trim(now: now)
        let emailTokens = Self.tokens(emails[email], emailLimit, now)
        let addressTokens = Self.tokens(addresses[address], addressLimit, now)
        let wait = max(
            (1 - emailTokens) * emailLimit.secondsPerToken,
            (1 - addressTokens) * addressLimit.secondsPerToken
        )
        guard wait <= 0 else { return max(1, Int(wait.rounded(.up))) }
        emails[email] = Bucket(tokens: emailTokens - 1, at: now)
        addresses[address] = Bucket(tokens: addressTokens - 1, at: now)
        return nil
    }

    /// Gives back what a successful attempt took.
    package mutating func succeed(email: String, address: String, now: MonotonicTime) {
        emails[email.lowercased()] = nil
        guard let bucket = addresses[address] else { return }
        let tokens = min(addressLimit.burst, Self.tokens(bucket, addressLimit, now) + 1)
        addresses[address] = Bucket(tokens: tokens, at: now)
    }

    package var count: Int { emails.count + addresses.count }

    private static func tokens(_ bucket: Bucket?, _ limit: Limit, _ now: MonotonicTime) -> Double {
        guard let bucket else { return limit.burst }
        let seconds = Double((now - bucket.at).nanoseconds) / 1e9
        return min(limit.burst, bucket.tokens + max(0, seconds) / limit.secondsPerToken)
    }

    /// Full buckets say nothing and go first; if invented addresses still fill the memory, all go.
    private mutating func trim(now: MonotonicTime) {
        if emails.count >= capacity {
            emails = emails.filter { Self.tokens($0.value, emailLimit, now) < emailLimit.burst }
            if emails.count >= capacity { emails = [:] }
        }
        if addresses.count >= capacity {
            addresses = addresses.filter { Self.tokens($0.value, addressLimit, now) < addressLimit.burst }
            if addresses.count >= capacity { addresses = [:] }
        }
    }
}
