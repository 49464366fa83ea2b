import Decisions
package import Domain
import Formats

/// What one call adds to a key's usage.
package struct UsageFacts: Hashable, Sendable {
    package var key: KeyID
    package var createdAt: Timestamp
    package var usage: TokenUsage
    package var cost: NanoUSD
    package var limits: FrozenLimits

    package init(
        key: KeyID,
        createdAt: Timestamp,
        usage: TokenUsage,
        cost: NanoUSD,
        limits: FrozenLimits = FrozenLimits()
    ) {
        self.key = key
        self.createdAt = createdAt
        self.usage = usage
        self.cost = cost
        self.limits = limits
    }

    package init(_ record: UsageRecord) {
        self.init(
            key: record.key,
            createdAt: record.createdAt,
            usage: record.usage,
            cost: record.cost,
            limits: record.limits
        )
    }
}

/// Sums over calls.
package struct UsageSums: Hashable, Sendable {
    package var requests: Int64 = 0
    package var input: Int64 = 0
    package var output: Int64 = 0
    package var cacheCreation: Int64 = 0
    package var cacheRead: Int64 = 0
    package var cost = NanoUSD.zero

    package init() {}

    package var total: Int64 { input &+ output &+ cacheCreation &+ cacheRead }

    /// - Parameter factor: −1 takes a call out again.
    mutating func add(_ call: UsageFacts, factor: Int64) {
        requests &+= factor
        input &+= factor &* call.usage.input
        output &+= factor &* call.usage.output
        cacheCreation &+= factor &* call.usage.cacheWrite
        cacheRead &+= factor &* call.usage.cacheRead
        cost = factor < 0 ? cost - call.cost : cost + call.cost
    }

    static func + (left: Self, right: Self) -> Self {
        var sum = left
        sum.requests &+= right.requests
        sum.input &+= right.input
        sum.output &+= right.output
        sum.cacheCreation &+= right.cacheCreation
        sum.cacheRead &+= right.cacheRead
        sum.cost += right.cost
        return sum
    }

    func write(to json: inout JSONWriter) {
        json.object {
            $0.member("requests", requests)
            $0.member("input_tokens", input)
            $0.member("output_tokens", output)
            $0.member("cache_creation_tokens", cacheCreation)
            $0.member("cache_read_tokens", cacheRead)
            $0.member("total_tokens", total)
            $0.member("cost", cost.description)
        }
    }
}

/// What `GET /v1/usage` tells a key about itself.
package struct KeyUsage: Hashable, Sendable {
    package let key: KeyID
    /// The database's time when the sums were read.
    package let now: Timestamp
    package var today = UsageSums()
    package var total = UsageSums()
    /// Requests and tokens of the last minute.
    package var rpm: Int64 = 0
    package var tpm: Int64 = 0
    package var quota: NanoUSD?
    package var quotaUsed = NanoUSD.zero
    package var expiresAt: Timestamp?
    /// The user's, all keys together.
    package var balance = NanoUSD.zero
    package var policy: PolicyRecord?
    /// Of the policy's quota, in the window that runs now.
    package var policyUsed = NanoUSD.zero

    private static let day: Int64 = 86_400_000_000
    private static let minute = Duration.seconds(60)

    package init(key: KeyID, now: Timestamp) {
        self.key = key
        self.now = now
    }

    /// Adds a call of the key's user that the database's sums do not contain; with −1, takes out one that they do.
    package mutating func add(_ call: UsageFacts, factor: Int64 = 1) {
        if call.limits.subscription == nil { balance = factor < 0 ? balance + call.cost : balance - call.cost }
        guard call.key == key else { return }
        total.add(call, factor: factor)
        if call.createdAt.microseconds / Self.day == now.microseconds / Self.day { today.add(call, factor: factor) }
        if now - call.createdAt < Self.minute {
            rpm &+= factor
            tpm &+= factor &* call.usage.total
        }
        quotaUsed = factor < 0 ? quotaUsed - call.cost : quotaUsed + call.cost
        if let policy, call.limits.policy == policy.window(at: now) {
            policyUsed = factor < 0 ? policyUsed - call.cost : policyUsed + call.cost
        }
    }

    package var encoded: [UInt8] {
        var json = JSONWriter(capacity: 1024)
        json.object {
            $0.key("today")
            today.write(to: &$0)
            $0.key("total")
            total.write(to: &$0)
            $0.member("rpm", rpm)
            $0.member("tpm", tpm)
            $0.key("quota")
            if let quota, quota > .zero {
                $0.object {
                    $0.member("limit", quota.description)
                    $0.member("used", quotaUsed.description)
                    $0.member("remaining", max(quota - quotaUsed, .zero).description)
                }
            } else {
                $0.null()
            }
            $0.key("policy")
            if let policy {
                let window = policy.windows.window(at: now)
                $0.object {
                    $0.member("period", policy.fields.period.rawValue)
                    $0.member("quota", policy.fields.quota.description)
                    $0.member("used", policyUsed.description)
                    $0.member("remaining", max(policy.fields.quota - policyUsed, .zero).description)
                    $0.member("boundary", policy.fields.boundary.rawValue)
                    $0.member("window_start", RFC3339.format(window.start.microseconds))
                    $0.member("next_reset_at", RFC3339.format(window.end.microseconds))
                }
            } else {
                $0.null()
            }
            $0.member("expires_at", expiresAt.map { RFC3339.format($0.microseconds) })
            $0.member("balance", balance.description)
        }
        return json.bytes
    }
}
