/// Why a verdict is what it is: constant words for metrics, traces and logs.
package enum VerdictReason: String, Hashable, Sendable, CaseIterable {
    case success
    case callerFault = "caller_fault"

    // What accounts were told to be about.
    case customErrorCode = "custom_error_code"
    case ownRule = "own_rule"

    // Credentials.
    case credentialRejected = "credential_rejected"
    /// A 401 that is counted already, or to a token that has been replaced since.
    case credentialStale = "credential_stale"
    /// A second 401 with no success between.
    case credentialRejectedAgain = "credential_rejected_again"
    case credentialRevoked = "credential_revoked"

    // What the account may do.
    case organizationDisabled = "organization_disabled"
    case paymentRequired = "payment_required"
    case forbidden
    case validationRequired = "validation_required"
    case termsViolated = "terms_violated"
    /// A page of a proxy on the way.
    case proxyPage = "proxy_page"
    case invalidProject = "invalid_project"
    case modelNotFound = "model_not_found"

    // Limits.
    case rateLimited = "rate_limited"
    case modelRateLimited = "model_rate_limited"
    case insufficientQuota = "insufficient_quota"
    case creditsExhausted = "credits_exhausted"
    /// Something that the call asks for is used up or not open to the account, which serves other calls.
    case optionLimited = "option_limited"
    case overloaded

    // Everything else.
    case requestTimeout = "request_timeout"
    case upstreamError = "upstream_error"
    case unexpectedStatus = "unexpected_status"
    case connectionFailed = "connection_failed"
    case upstreamTimeout = "upstream_timeout"
    case emptyStream = "empty_stream"
}
