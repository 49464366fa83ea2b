import HTTPMessages

/// What faults do to a plan, whatever the platform.
extension AnswerPlan {
    /// Ends the body early.
    ///
    /// - Parameter length: what `content-length` says all the same; nil sends none.
    mutating func breakOff(at end: Int, _ ending: Ending, announcing length: Int? = nil) {
        body = Array(body.prefix(end))
        let kept = pieces.firstIndex { $0.end >= end } ?? pieces.count
        if kept < pieces.count {
            pieces.removeSubrange((kept + 1)...)
            pieces[kept].end = end
        }
        framing = length.map { .announced($0) } ?? .pieces
        self.ending = ending
    }

    /// Adds bytes after the last piece.
    mutating func append(_ bytes: [UInt8]) {
        body += bytes
        if !pieces.isEmpty { pieces.append(Piece(end: body.count)) }
    }

    /// Applies the faults that concern bytes alone.
    mutating func spoil(_ fault: Fault?) {
        switch fault {
        case .emptyBody:
            body = []
            pieces = []
            usage = []
            ending = .empty
        case .garbage:
            body = Self.garbage
            pieces = []
            usage = []
            ending = .cutClean
        case .gzip:
            body = Gzip.store(body)
            pieces = []
            usage = usage.last.map { [(body.count, $0.total)] } ?? []
            head?.headers.add("content-encoding", "gzip")
        case .longLength:
            framing = .announced(body.count + 100)
            ending = .cut
        case .shortLength:
            framing = .announced(max(0, body.count - 10))
            ending = .cutClean
        case nil, .status, .hang, .reset, .slowHead, .cut, .cutClean, .stall, .errorEvent, .empty, .hugeEvent,
            .badChecksum:
            break
        }
    }

    /// The same of an answer that is no model's.
    func spoiled(_ words: ControlWords) -> AnswerPlan {
        var plan = self
        plan.spoil(words.fault)
        return plan
    }

    /// Applies the words that concern any answer.
    mutating func apply(_ words: ControlWords) {
        hasInterim = words.hasInterim
        headDelay = .milliseconds(words.headDelay ?? 0)
        if case .slowHead(let milliseconds)? = words.fault { headDelay += .milliseconds(milliseconds) }
        if words.hasNoStatusBody, let status = head?.status, status >= 400 {
            body = []
            pieces = []
            usage = []
        }
        if let size = words.pieceBytes { chop(size) }
    }

    /// Cuts every piece into pieces of at most so many bytes.
    private mutating func chop(_ size: Int) {
        guard head != nil, framing == .pieces || framing == .whole else { return }
        var chopped: [Piece] = []
        var start = 0
        for piece in pieces.isEmpty ? [Piece(end: body.count)] : pieces {
            var delay = piece.delay
            while start < piece.end {
                start += min(size, piece.end - start)
                chopped.append(Piece(delay: delay, end: start))
                delay = .zero
            }
        }
        pieces = chopped
        if framing == .whole { framing = .announced(body.count) }
    }

    /// Bytes of every kind, never the same twice in a row, not UTF-8.
    private static let garbage: [UInt8] = {
        var state: UInt32 = 1
        return (0..<2048).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(truncatingIfNeeded: state >> 24)
        }
    }()
}
