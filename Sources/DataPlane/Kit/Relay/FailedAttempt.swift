import Domain
import HTTPFetching
import HTTPMessages
import Providers

/// An attempt that brought no content.
struct FailedAttempt {
    /// What the account is judged by.
    enum Cause {
        /// It says nothing of the account.
        case none
        case outcome(UpstreamAnswer.Outcome)
        /// An answer of status 200 that is an error, or a stream that begins with one.
        case errorWithin([UInt8], HeaderFields)
        case judged(UpstreamVerdict)
    }

    var failure: AttemptFailure
    var cause: Cause

    init(_ failure: AttemptFailure, _ cause: Cause = .none) {
        self.failure = failure
        self.cause = cause
    }

    init(_ error: FetchError) {
        let cause: Cause =
            switch error {
            case .notProcessed, .cancelled: .none
            case .connect, .connectTimedOut, .connectionLost, .protocolViolation, .bodyTooLarge:
                .outcome(.connectionFailed)
            case .firstByteTimedOut, .idleTimedOut, .totalTimedOut: .outcome(.timedOut)
            }
        self.init(AttemptFailure(error), cause)
    }

    static let emptyStream = FailedAttempt(.emptyStream, .outcome(.emptyStream))
    static let unreadable = FailedAttempt(.unreadableAnswer)
    static let noCredentials = FailedAttempt(.noCredentials)
    static let noToken = FailedAttempt(.noToken)

    static func errorWithin(_ body: [UInt8], _ headers: HeaderFields) -> FailedAttempt {
        FailedAttempt(.errorEvent, .errorWithin(body, headers))
    }
}
