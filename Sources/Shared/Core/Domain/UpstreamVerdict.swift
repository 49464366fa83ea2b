/// What an upstream's answer means for the call.
package struct UpstreamVerdict: Hashable, Sendable {
    package enum Consequence: Hashable, Sendable {
        /// The answer goes to the caller.
        case deliver
        /// The caller's own fault: the answer goes to the caller, the account is untouched.
        case callerFault
        /// Another account may do better.
        case failover
    }
    package var consequence: Consequence
    /// A short constant name for logs and metrics.
    package var reason: String

    package init(_ consequence: Consequence, reason: String) {
        self.consequence = consequence
        self.reason = reason
    }

    package static let success = UpstreamVerdict(.deliver, reason: "success")
}
