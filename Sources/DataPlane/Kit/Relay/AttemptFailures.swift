import Dialects
import Domain
import HTTPFetching
import HTTPMessages

/// What failed attempts are called, and what of them a caller is told: never whose account or host it was.
extension AttemptFailure {
    /// - Parameter headers: of the refusal, which may say when to try again; else the flags that it sets do.
    init(status: Int, verdict: UpstreamVerdict, _ headers: HeaderFields, now: Timestamp) {
        let stated = headers["retry-after"].flatMap { Int($0) }
        let end = verdict.effects.compactMap { AccountFlag($0, setAt: now)?.until }.max()
        self.init(
            status: status,
            verdict: verdict,
            retryAfterSeconds: stated ?? end.map { ($0 - now).wholeSecondsUp }
        )
    }

    /// The upstream answered with an error that another account may not have.
    ///
    /// Refused credentials and empty wallets are the operator's affair: the caller sees a bad gateway.
    init(status: Int, verdict: UpstreamVerdict, retryAfterSeconds: Int?) {
        switch status {
        case 404:
            self.init(
                reason: verdict.reason.rawValue,
                status: 404,
                message: "The model does not exist at the provider.",
                usefulness: 5
            )
        case 429:
            self.init(
                reason: verdict.reason.rawValue,
                status: 429,
                message: "The provider is rate limiting; try again later.",
                retryAfterSeconds: retryAfterSeconds,
                usefulness: 4
            )
        case 529, 503:
            self.init(
                reason: verdict.reason.rawValue,
                status: status,
                message: "The provider is overloaded; try again later.",
                retryAfterSeconds: retryAfterSeconds,
                usefulness: 3
            )
        case 408, 504:
            self.init(
                reason: verdict.reason.rawValue,
                status: 504,
                message: "The provider took too long to answer.",
                usefulness: 2
            )
        case 500...599:
            self.init(
                reason: verdict.reason.rawValue,
                status: status,
                message: "The provider reported an internal error.",
                usefulness: 2
            )
        default:
            self.init(
                reason: verdict.reason.rawValue,
                status: 502,
                message: "The provider refused the gateway's request.",
                usefulness: 0
            )
        }
    }

    init(_ error: FetchError) {
        switch error {
        case .connect, .connectTimedOut:
            self.init(
                reason: "connect_failed",
                status: 502,
                message: "The provider could not be reached.",
                usefulness: 1
            )
        case .notProcessed:
            self.init(
                reason: "not_processed",
                status: 502,
                message: "The provider could not be reached.",
                usefulness: 1,
                isFree: true
            )
        case .firstByteTimedOut, .idleTimedOut, .totalTimedOut:
            self.init(
                reason: "upstream_timeout",
                status: 504,
                message: "The provider took too long to answer.",
                usefulness: 2
            )
        case .connectionLost, .protocolViolation, .bodyTooLarge, .cancelled:
            self.init(
                reason: "connection_lost",
                status: 502,
                message: "The connection to the provider was lost.",
                usefulness: 1
            )
        }
    }

    /// The answer ended, or failed, before any content.
    static let emptyStream = AttemptFailure(
        reason: "empty_stream",
        status: 502,
        message: "The provider answered without content.",
        usefulness: 2
    )
    static let errorEvent = AttemptFailure(
        reason: "error_event",
        status: 529,
        message: "The provider reported an error; try again later.",
        usefulness: 3
    )
    static let unreadableAnswer = AttemptFailure(
        reason: "unreadable_answer",
        status: 502,
        message: "The provider's answer could not be read.",
        usefulness: 1
    )
    /// The account's token is over, and no newer one came in time.
    static let noToken = AttemptFailure(
        reason: "no_token",
        status: 503,
        message: "The provider cannot be asked now; try again later.",
        retryAfterSeconds: 5,
        usefulness: 1,
        isFree: true
    )
    /// The account has no credentials that this worker could open.
    static let noCredentials = AttemptFailure(
        reason: "no_credentials",
        status: 502,
        message: "The provider refused the gateway's request.",
        usefulness: 0,
        isFree: true
    )
}

extension GatewayError {
    /// A failure as the caller is told of it.
    init(_ failure: AttemptFailure, detail: String = "") {
        self.init(
            .upstreamError,
            failure.message,
            retryAfterSeconds: failure.retryAfterSeconds,
            detail: detail,
            status: failure.status
        )
    }

    /// A refusal in the upstream's words, as far as they are the caller's to hear.
    ///
    /// - Parameter hosts: the account's own, which callers are not told.
    init(refusal error: UpstreamErrorBody?, _ status: Int, hiding hosts: [String]) {
        let message = error?.message ?? ""
        self.init(
            .upstreamError,
            message.isEmpty
                ? "The provider refused the request." : LeakScrubber.scrub(message, hiding: hosts) ?? message,
            status: status
        )
    }
}
