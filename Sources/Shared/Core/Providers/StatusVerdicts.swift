package import Domain

/// What statuses mean on every platform; a platform's own verdicts come before.
package enum StatusVerdicts {
    /// - Parameter isModelMissing: whether the body says that the model does not exist (404).
    package static func verdict(status: Int, isModelMissing: Bool) -> UpstreamVerdict {
        switch status {
        case 200..<300: .success
        case 401: UpstreamVerdict(.failover, reason: "credential_rejected")
        case 402: UpstreamVerdict(.failover, reason: "payment_required")
        case 403: UpstreamVerdict(.failover, reason: "forbidden")
        case 404 where isModelMissing: UpstreamVerdict(.failover, reason: "model_not_found")
        case 408: UpstreamVerdict(.failover, reason: "request_timeout")
        case 429: UpstreamVerdict(.failover, reason: "rate_limited")
        case 529: UpstreamVerdict(.failover, reason: "overloaded")
        case 500...: UpstreamVerdict(.failover, reason: "upstream_error")
        case 400..<500: UpstreamVerdict(.callerFault, reason: "caller_fault")
        // A redirect or an informational status is nothing that an API answers with.
        default: UpstreamVerdict(.failover, reason: "unexpected_status")
        }
    }

    static func says(_ words: String, _ message: String) -> Bool { message.lowercased().firstRange(of: words) != nil }
}
