/// An error that a caller gets from the gateway itself.
///
/// `message` is the caller's text: it never names accounts, hosts or credentials. `detail` is for logs.
package struct GatewayError: Error, Sendable {
    /// The gateway's own codes (`x-tollgate-code`), with the status each is answered with.
    package enum Code: String, Sendable, CaseIterable {
        case invalidRequest = "invalid_request"
        case invalidAPIKey = "invalid_api_key"
        case accessDenied = "access_denied"
        case apiKeyExpired = "api_key_expired"
        case userDisabled = "user_disabled"
        case groupInactive = "group_inactive"
        case claudeCodeOnly = "claude_code_only"
        case modelNotAllowed = "model_not_allowed"
        case modelNotPriced = "model_not_priced"
        case notFound = "not_found"
        case methodNotAllowed = "method_not_allowed"
        case requestTimeout = "request_timeout"
        case bodyTooLarge = "body_too_large"
        case headersTooLarge = "headers_too_large"
        case unsupportedEncoding = "unsupported_encoding"
        case rateLimited = "rate_limited"
        case concurrencyLimit = "concurrency_limit"
        case insufficientBalance = "insufficient_balance"
        case keyQuotaExhausted = "api_key_quota_exhausted"
        case policyExhausted = "token_quota_policy_exhausted"
        case subscriptionLimitExceeded = "subscription_limit_exceeded"
        case subscriptionRequired = "subscription_required"
        case budgetInUse = "budget_in_use"
        case noAccountAvailable = "no_account_available"
        case upstreamError = "upstream_error"
        case upstreamTimeout = "upstream_timeout"
        case unavailable = "service_unavailable"
        case internalError = "internal_error"

        package var status: Int {
            switch self {
            case .invalidRequest, .modelNotPriced: 400
            case .invalidAPIKey: 401
            case .insufficientBalance: 402
            case .accessDenied, .apiKeyExpired, .userDisabled, .groupInactive, .claudeCodeOnly, .modelNotAllowed,
                .subscriptionRequired:
                403
            case .notFound: 404
            case .methodNotAllowed: 405
            case .requestTimeout: 408
            case .bodyTooLarge: 413
            case .unsupportedEncoding: 415
            case .headersTooLarge: 431
            case .rateLimited, .concurrencyLimit, .keyQuotaExhausted, .policyExhausted, .subscriptionLimitExceeded,
                .budgetInUse:
                429
            case .internalError: 500
            case .upstreamError: 502
            case .noAccountAvailable, .unavailable: 503
            case .upstreamTimeout: 504
            }
        }
    }

    package var code: Code
    package var message: String
    /// The request's field at fault, where there is one.
    package var field: String?
    package var retryAfterSeconds: Int?
    package var detail: String
    package var status: Int

    /// - Parameter status: where it is not the code's own: an upstream's error keeps the upstream's status.
    package init(
        _ code: Code,
        _ message: String,
        field: String? = nil,
        retryAfterSeconds: Int? = nil,
        detail: String = "",
        status: Int? = nil
    ) {
        self.code = code
        self.message = message
        self.field = field
        self.retryAfterSeconds = retryAfterSeconds
        self.detail = detail
        self.status = status ?? code.status
    }
}
