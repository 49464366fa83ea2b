import HTTPMessages
import HTTPWire
import Reactor

/// An HTTP/1.0 or 1.1 connection: one exchange at a time, pipelined requests waiting for their turn.
///
/// While an answer is under way, input is still read, up to a bound, because the only sign that a caller has left is
/// the end of its input.
final class HTTP1Connection: ServerConnection, HTTP1ParserDelegate, TurnEndObserver {
    private enum Phase {
        /// Between requests, or in the head of one. Next: `exchanging`, `closing`, `closed`.
        case reading
        /// A request is with its handler. Next: `reading`, `discarding`, `closing`, `closed`.
        case exchanging
        /// It has been answered before its body had arrived, and the little that is missing is thrown away.
        /// Next: `reading`, `closing`, `closed`.
        case discarding
        /// Waits until the caller has taken the last answer. Next: `closed`.
        case closing
        case closed
    }

    private let link: ConnectionLink
    private let parser: HTTP1Parser
    private var phase = Phase.reading
    private var requestStartedAt = MonotonicTime.never

    // The exchange.
    private var exchange: ServerExchange?
    private var isStarted = false
    private var isRequestComplete = true
    /// What follows cannot be read as requests: it is thrown away.
    private var isInputBroken = false
    private var awaitsContinue = false
    private var isHead = false
    private var isVersion10 = false
    private var framing = HTTP1Framing.noBody
    private var closesAfterAnswer = false
    private var wantsDrain = false

    // Input that waits.
    private var backlog: [UInt8] = []
    private var backlogStart = 0
    private var isParsing = false
    private var isReading = true
    private var resumesAtTurnEnd = false

    // Deadlines.
    private var readDeadline = MonotonicTime.never
    private var bodyEnd = MonotonicTime.never

    /// Bytes of further requests held while one is answered.
    private static let backlogLimit = 64 * 1024
    /// Bytes of a body held before its handler asks for it.
    private static let unwantedBodyLimit = 256 * 1024
    /// The rest of an unread body that is cheaper to read than a new connection is to make.
    private static let discardLimit = 64 * 1024

    /// Less of a body is not worth a system call of its own: it comes together with what follows.
    private static let inPlaceMinimum = 16 * 1024
    /// Read before it is known how much of a body there is: nearly all requests whole, of a large one little that has to
    /// be copied to its body.
    private static let firstReadLimit = 16 * 1024

    init(_ link: ConnectionLink) {
        self.link = link
        parser = HTTP1Parser(.requests, maximumHeadBytes: link.server.limits.headerBytes)
        parser.pauseAfterMessage = true
        parser.delegate = self
        readDeadline = .now + link.server.limits.keepAliveTimeout
        link.timer.fire(by: readDeadline)
    }

    private var limits: HTTPServerLimits { link.server.limits }

    /// What input that waits takes of memory.
    var heldBytes: Int { backlog.count }

    // MARK: Input

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        guard !isInputBroken else { return }
        switch phase {
        case .reading, .exchanging, .discarding:
            guard backlog.isEmpty else { return hold(bytes) }
            let taken = parse(bytes)
            if taken < bytes.count { hold(UnsafeRawBufferPointer(rebasing: bytes[taken...])) }
        case .closing, .closed:
            break
        }
    }

    func streamCanRead(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
        guard phase != .reading else { return Self.firstReadLimit }
        let left = parser.bodyBytesLeft
        if left >= Self.inPlaceMinimum, phase == .exchanging, wantsInput, backlog.isEmpty,
            let exchange, exchange.isBodyWanted
        {
            exchange.readBody(atMost: left, read)
        }
        return .max
    }

    func streamDidReadInPlace(_ count: Int) {
        guard phase == .exchanging, let exchange else { return }
        isParsing = true
        defer { isParsing = false }
        awaitsContinue = false
        exchange.bodyDidArrive(inPlace: count)
        if !exchange.isBodyOpen { setReading(false) }
        // A reference of its own: the parser may say that the body is complete.
        let arrived = exchange.arrivedBody
        do throws(HTTP1Error) {
            try parser.take(bodyInPlace: arrived, last: count)
        } catch {
            return refuse(error)
        }
        setReadDeadline()
    }

    /// Whether the parser may go on: not beyond a request that is being answered, not while the caller leaves earlier
    /// answers lying.
    private var wantsInput: Bool {
        switch phase {
        case .reading: !link.isBackedUp
        case .exchanging: !isRequestComplete && !isInputBroken
        case .discarding: true
        case .closing, .closed: false
        }
    }

    /// Parses what may be parsed; returns the number of bytes taken.
    private func parse(_ bytes: UnsafeRawBufferPointer) -> Int {
        isParsing = true
        defer { isParsing = false }
        var taken = 0
        while taken < bytes.count, wantsInput {
            if !parser.isInMessage { requestStartedAt = .now }
            do throws(HTTP1Error) {
                taken += try parser.feed(UnsafeRawBufferPointer(rebasing: bytes[taken...]))
            } catch {
                refuse(error)
                return bytes.count
            }
            startHandler()
        }
        setReadDeadline()
        return taken
    }

    /// Keeps input for later; none is needed from a connection that is about to end.
    private func hold(_ bytes: UnsafeRawBufferPointer) {
        switch phase {
        case .reading, .exchanging, .discarding: break
        case .closing, .closed: return
        }
        // A caller that is always ahead would else have all that it ever sent kept.
        backlog.removeFirst(backlogStart)
        backlogStart = 0
        backlog.append(contentsOf: bytes)
        if backlog.count - backlogStart >= Self.backlogLimit { setReading(false) }
        waitForDrain()
    }

    /// Earlier answers have to be taken before the next request is looked at.
    private func waitForDrain() {
        if phase == .reading, link.isBackedUp { link.stream.notifyWhenDrained() }
    }

    private func resumeAtTurnEnd() {
        guard !resumesAtTurnEnd, !isParsing, !backlog.isEmpty else { return }
        resumesAtTurnEnd = true
        link.server.loop.notifyAtTurnEnd(self)
    }

    func turnDidEnd() {
        resumesAtTurnEnd = false
        guard !backlog.isEmpty else { return }
        guard wantsInput else { return waitForDrain() }
        // A reference of its own: the connection may end, and with it its backlog, while the bytes are being read.
        let held = backlog
        let start = backlogStart
        let taken = held.withUnsafeBytes { parse(UnsafeRawBufferPointer(rebasing: $0[start...])) }
        if start + taken >= held.count {
            backlog = []
            backlogStart = 0
            if phase != .closing, phase != .closed { setReading(true) }
        } else {
            backlogStart = start + taken
            waitForDrain()
        }
    }

    private func setReading(_ isOn: Bool) {
        guard isOn != isReading else { return }
        isReading = isOn
        link.stream.setReading(isOn)
    }

    func streamDidEnd(_ error: (any Error)?) {
        switch phase {
        case .exchanging:
            // Gone, even if only its sending side is closed.
            end { link.abort() }
        case .closing where error == nil:
            break
        case .reading where error == nil, .discarding where error == nil:
            closeWhenTaken()
        case .reading, .discarding, .closing:
            end { link.didEnd() }
        case .closed:
            break
        }
    }

    func streamDidDrain() {
        switch phase {
        case .closing:
            end { link.close() }
        case .exchanging:
            guard wantsDrain else { break }
            wantsDrain = false
            exchange?.onDrain?()
        case .reading, .discarding:
            resumeAtTurnEnd()
        case .closed:
            break
        }
    }

    // MARK: Requests

    func parserDidReadRequestHead(_ head: HTTPRequestHead, keepsAlive: Bool, expectsContinue: Bool) {
        guard phase == .reading else { return }
        phase = .exchanging
        isStarted = false
        isRequestComplete = false
        awaitsContinue = expectsContinue
        isHead = head.method == "HEAD"
        isVersion10 = parser.isVersion10
        framing = .noBody
        wantsDrain = false
        closesAfterAnswer = !keepsAlive || link.server.isDraining
        readDeadline = .never
        exchange = ServerExchange(
            link.server,
            self,
            head,
            version: .http1,
            peer: link.stream.peer,
            isTLS: link.isTLS,
            startedAt: requestStartedAt
        )
    }

    func parserDidReadResponseHead(_ head: HTTPResponseHead, keepsAlive: Bool) {}

    func parserDidReadBody(_ bytes: UnsafeRawBufferPointer) {
        guard phase == .exchanging, let exchange else { return }
        awaitsContinue = false
        exchange.bodyDidArrive(bytes, left: parser.bodyBytesLeft)
        let isHeldUp = !exchange.isBodyWanted && exchange.bodyBytes > Self.unwantedBodyLimit
        if isHeldUp || !exchange.isBodyOpen { setReading(false) }
    }

    func parserDidEndMessage() {
        isRequestComplete = true
        switch phase {
        case .exchanging:
            // Only a body is held up. Whoever has sent it may leave, or send the next request.
            if backlog.count - backlogStart < Self.backlogLimit { setReading(true) }
            exchange?.bodyDidEnd()
        case .discarding: phase = .reading
        case .reading, .closing, .closed: break
        }
    }

    /// Hands a request over once what came with its head has been parsed: small bodies are complete by then.
    private func startHandler() {
        guard phase == .exchanging, !isStarted, let exchange else { return }
        isStarted = true
        if exchange.request.method == "CONNECT" {
            return reject(exchange, 405)
        }
        if let expectation = exchange.request.headers["expect"], !isVersion10,
            expectation.lowercased() != "100-continue"
        {
            return reject(exchange, 417)
        }
        exchange.start()
    }

    private func reject(_ exchange: ServerExchange, _ status: Int) {
        closesAfterAnswer = true
        exchange.refuse(status)
    }

    /// Answers what could not be read as a request, and closes.
    private func refuse(_ error: HTTP1Error) {
        switch error {
        case .malformed: refuse(400)
        case .headTooLarge: refuse(431)
        case .unsupportedVersion: refuse(505)
        }
    }

    private func refuse(_ status: Int) {
        isInputBroken = true
        if let exchange {
            // The fault is in the body.
            guard isStarted else { return reject(exchange, status) }
            guard !exchange.isResponseStarted else { return end { link.abort() } }
            // Its handler tells, or has another answer by now.
            closesAfterAnswer = true
            return exchange.bodyDidFail(.malformed)
        }
        guard phase == .reading || phase == .discarding else { return }
        if phase == .reading {
            let request = parser.unfinishedRequest
            let fault = ProtocolFault(status: status, request: request, startedAt: requestStartedAt)
            let answer = link.server.faultAnswer(fault)
            sendHead(
                answer.head,
                contentLength: answer.body.count,
                connection: .close,
                body: request?.method == "HEAD" ? nil : answer.body
            )
        }
        closeWhenTaken()
    }
}

// MARK: - Answers

extension HTTP1Connection: ExchangeCarrier {
    func bodyIsWanted() {
        setReading(true)
        if awaitsContinue, let exchange, !exchange.isResponseStarted {
            awaitsContinue = false
            link.write("HTTP/1.1 100 Continue\r\n\r\n")
        }
        bodyEnd = .now + limits.bodyTimeout
        setReadDeadline()
        resumeAtTurnEnd()
    }

    func sendEarlyHints() {
        if !isVersion10 { link.write("HTTP/1.1 103 Early Hints\r\n\r\n") }
    }

    func startAnswer(_ head: HTTPResponseHead, body: [UInt8]?) {
        if !isRequestComplete, !canDiscardRest(exchange) { closesAfterAnswer = true }
        if head.headers.withValue("connection", { FieldBytes(raw: $0).equals("close") }) == true {
            closesAfterAnswer = true
        }
        var contentLength = body?.count
        let statusHasBody = head.status != 204 && head.status != 304
        let announced = head.headers.withValue("content-length") { FieldBytes(raw: $0).decimal } ?? nil
        if !statusHasBody {
            framing = .noBody
            contentLength = nil
        } else if isHead {
            framing = .noBody
            // The answer to GET may be described instead of given.
            if let announced, body?.isEmpty ?? true { contentLength = announced }
        } else if let body {
            framing = .length(left: body.count)
        } else if let announced {
            framing = .length(left: announced)
            contentLength = announced
        } else if isVersion10 {
            framing = .untilClose
            closesAfterAnswer = true
        } else {
            framing = .chunked
        }
        sendHead(
            head,
            contentLength: contentLength,
            connection: closesAfterAnswer ? .close : isVersion10 ? .keepAlive : .implied,
            body: framing == .noBody ? nil : body
        )
        if body != nil { answerDidEnd() }
    }

    private func sendHead(
        _ head: HTTPResponseHead,
        contentLength: Int?,
        connection: HTTP1AnswerHead.Connection,
        body: [UInt8]?
    ) {
        let server = link.server
        var out: [UInt8] = []
        swap(&out, &server.scratch)
        let isChunked = contentLength == nil && framing == .chunked
        // A small body goes along; a large one is not copied twice.
        let goesAlong = body.map { $0.count <= 4096 } ?? false
        HTTP1AnswerHead.encode(
            head,
            contentLength: contentLength,
            isChunked: isChunked,
            connection: connection,
            date: server.today,
            body: goesAlong ? body ?? [] : [],
            into: &out
        )
        out.withUnsafeBytes { link.write($0) }
        if !goesAlong, let body { body.withUnsafeBytes { link.write($0) } }
        out.removeAll(keepingCapacity: true)
        swap(&out, &server.scratch)
    }

    func writeAnswer(_ bytes: UnsafeRawBufferPointer) {
        switch framing {
        case .noBody:
            break
        case .length(let left):
            let piece = UnsafeRawBufferPointer(rebasing: bytes.prefix(left))
            framing = .length(left: left - piece.count)
            // More than was announced would be read as the beginning of another answer.
            if piece.count < bytes.count { closesAfterAnswer = true }
            link.write(piece)
        case .chunked:
            var out: [UInt8] = []
            swap(&out, &link.server.scratch)
            HTTP1AnswerHead.appendChunkSize(bytes.count, to: &out)
            // A small piece goes along with its frame; a large one is not copied twice.
            if bytes.count <= 4096 {
                out.append(contentsOf: bytes)
                HTTP1AnswerHead.appendLineEnd(to: &out)
                out.withUnsafeBytes { link.write($0) }
            } else {
                out.withUnsafeBytes { link.write($0) }
                link.write(bytes)
                link.write("\r\n")
            }
            out.removeAll(keepingCapacity: true)
            swap(&out, &link.server.scratch)
        case .untilClose:
            link.write(bytes)
        }
    }

    func finishAnswer() {
        switch framing {
        case .noBody, .untilClose, .length(left: 0): break
        case .chunked: link.write("0\r\n\r\n")
        // Less than was announced: only the connection's end can tell.
        case .length: closesAfterAnswer = true
        }
        answerDidEnd()
    }

    func cutAnswer() {
        guard phase == .exchanging else { return }
        switch framing {
        case .chunked, .length:
            // What was written goes out, and the missing end says that it is not all.
            closesAfterAnswer = true
            answerDidEnd()
        case .noBody, .untilClose:
            end { link.abort() }
        }
    }

    var pendingBytes: Int { link.stream.bufferedBytes }

    func notifyWhenDrained() {
        wantsDrain = true
        link.stream.notifyWhenDrained()
    }

    private func answerDidEnd() {
        guard phase == .exchanging else { return }
        let ended = exchange
        exchange = nil
        ended?.didEnd()
        if closesAfterAnswer || link.server.isDraining { return closeWhenTaken() }
        if isRequestComplete {
            phase = .reading
        } else {
            phase = .discarding
            setReading(true)
        }
        if !isParsing { setReadDeadline() }
        resumeAtTurnEnd()
    }

    /// Whether what is missing of the request is so little that it is not worth a connection.
    private func canDiscardRest(_ exchange: ServerExchange?) -> Bool {
        guard !awaitsContinue, let exchange, !exchange.hasBodyFailed, let announced = exchange.announcedBodyLength
        else {
            return false
        }
        return announced <= Self.discardLimit
    }
}

// MARK: - Time and ending

extension HTTP1Connection {
    /// Chooses the deadline for the caller's next bytes. Called when input was parsed or its meaning has changed.
    private func setReadDeadline() {
        switch phase {
        case .reading:
            readDeadline =
                parser.isInMessage
                ? requestStartedAt + limits.headerTimeout : MonotonicTime.now + limits.keepAliveTimeout
        case .exchanging where !isRequestComplete && exchange?.isBodyWanted == true:
            readDeadline = min(.now + limits.bodyIdleTimeout, bodyEnd)
        case .discarding:
            readDeadline = .now + limits.headerTimeout
        case .exchanging, .closing, .closed:
            readDeadline = .never
        }
        link.timer.fire(by: readDeadline)
    }

    func deadlinesPassed(now: MonotonicTime) -> MonotonicTime {
        if link.isStalled(now: now) {
            end { link.abort() }
            return .never
        }
        if readDeadline <= now {
            readDeadline = .never
            readTimedOut()
        }
        guard phase != .closed else { return .never }
        return min(readDeadline, link.nextLook)
    }

    private func readTimedOut() {
        switch phase {
        case .reading where parser.isInMessage: refuse(408)
        case .reading, .discarding: closeWhenTaken()
        case .exchanging:
            closesAfterAnswer = true
            exchange?.bodyDidFail(.timedOut)
        case .closing, .closed: break
        }
    }

    func drain() {
        switch phase {
        case .reading where !parser.isInMessage && backlog.isEmpty: closeWhenTaken()
        case .exchanging: closesAfterAnswer = true
        case .reading, .discarding, .closing, .closed: break
        }
    }

    func cut() { end { link.abort() } }

    private func closeWhenTaken() {
        guard phase != .closing, phase != .closed else { return }
        phase = .closing
        readDeadline = .never
        backlog = []
        backlogStart = 0
        if link.stream.bufferedBytes == 0 { end { link.close() } } else { link.stream.notifyWhenDrained() }
    }

    private func end(_ action: () -> Void) {
        guard phase != .closed else { return }
        phase = .closed
        backlog = []
        let exchange = exchange
        self.exchange = nil
        action()
        exchange?.callerDidLeave()
    }
}
