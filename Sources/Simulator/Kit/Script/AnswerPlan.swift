package import HTTPMessages

/// An answer decided in full: what is sent, in which pieces, after which pauses, and how it ends. Playing it needs no
/// further decision.
package struct AnswerPlan {
    /// A part of the body that leaves at once.
    package struct Piece: Equatable {
        /// Silence before it.
        package var delay: Duration
        /// Where it ends in `body`; it begins where the one before ends.
        package var end: Int

        package init(delay: Duration = .zero, end: Int) {
            self.delay = delay
            self.end = end
        }
    }

    /// How the answer ends when the last piece has left.
    package enum Ending: String, Sendable {
        case complete
        /// In order, as HTTP sees it, but part of the answer is missing.
        case cutClean = "cut_clean"
        /// Connection or stream reset.
        case cut
        /// The caller gets nothing more, and the connection stays.
        case silence
        /// In order, with an error event last.
        case errorEvent = "error_event"
        /// In order, without content.
        case empty
    }

    /// How the pieces are framed.
    package enum Framing: Equatable {
        /// `content-length` of the whole body, sent as one.
        case whole
        /// Chunked, or DATA frames.
        case pieces
        /// A `content-length` that may be wrong.
        case announced(Int)
    }

    /// Silence before the head.
    package var headDelay = Duration.zero
    package var hasInterim = false
    /// Without one nothing is ever sent: silence, or a reset.
    package var head: HTTPResponseHead?
    package var framing = Framing.whole
    package var body: [UInt8] = []
    /// Empty: the body is one piece.
    package var pieces: [Piece] = []
    package var ending = Ending.complete

    /// What the answer reports once so many bytes of its body have left, in order.
    package var usage: [(offset: Int, total: ReportedUsage)] = []

    // For the record.
    package var model: String?
    package var isStream = false
    package var fault: String?

    package init() {}

    package static func silence() -> AnswerPlan {
        var plan = AnswerPlan()
        plan.ending = .silence
        return plan
    }

    package static func reset() -> AnswerPlan {
        var plan = AnswerPlan()
        plan.ending = .cut
        return plan
    }

    package init(_ status: Int, _ headers: HeaderFields, body: [UInt8]) {
        head = HTTPResponseHead(status: status, headers: headers)
        self.body = body
    }

    /// What has been reported when this much of the body has left.
    package func usage(after sent: Int) -> ReportedUsage {
        usage.last { $0.offset <= sent }?.total ?? ReportedUsage()
    }
}
