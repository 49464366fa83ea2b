package import HTTPMessages
package import Reactor

package enum RequestBodyError: Error, Equatable {
    /// More than the limit: answer 413.
    case tooLarge
    /// The caller stopped sending: answer 408.
    case timedOut
    /// All bodies together take as much memory as they may: answer 503.
    case noRoom
    /// Its framing is broken: answer 400.
    case malformed
    /// The caller is gone: nothing can be answered.
    case callerGone
}

/// The connection, or the stream of one, that carries an exchange.
protocol ExchangeCarrier: AnyObject {
    /// The handler waits for the rest of the body.
    func bodyIsWanted()
    /// Sends a 103 before the answer.
    func sendEarlyHints()
    /// Sends the head, and with it the whole body; nil when pieces follow.
    func startAnswer(_ head: HTTPResponseHead, body: [UInt8]?)
    func writeAnswer(_ bytes: UnsafeRawBufferPointer)
    func finishAnswer()
    func cutAnswer()
    var pendingBytes: Int { get }
    func notifyWhenDrained()
}

/// One request and its answer. Bound to the server's loop.
///
/// The handler gets it when the head is complete. An exchange whose handler returns without an answer is answered 500.
/// A handler may return with an answer under way, which somebody else finishes. Every call on an exchange whose caller
/// is gone does nothing.
///
/// An HTTP/1.1 caller that closes its sending side while its answer is under way counts as gone: with hardly any client
/// is that a half-closed connection, with nearly all it is a caller that has left.
package final class ServerExchange {
    package let request: HTTPRequestHead
    package let version: HTTPVersion
    package let peer: SocketAddress?
    package let isTLS: Bool
    /// When the request's first byte arrived.
    package let startedAt: MonotonicTime
    package let loop: EventLoop

    private enum Answer { case none, started, finished }
    private var answer = Answer.none
    private var body = RequestBody()
    private var room: ByteShare
    private let bodyLimit: Int
    /// Nil once the exchange is over.
    private var carrier: (any ExchangeCarrier)?
    private let server: HTTPServer

    init(
        _ server: HTTPServer,
        _ carrier: any ExchangeCarrier,
        _ request: HTTPRequestHead,
        version: HTTPVersion,
        peer: SocketAddress?,
        isTLS: Bool,
        startedAt: MonotonicTime
    ) {
        self.server = server
        self.carrier = carrier
        self.request = request
        self.version = version
        self.peer = peer
        self.isTLS = isTLS
        self.startedAt = startedAt
        loop = server.loop
        bodyLimit = server.limits.bodyBytes
        room = ByteShare(of: server.bodyBudget)
        server.exchangeDidStart()
    }

    // MARK: Request body

    /// Bytes announced by `content-length`.
    package var announcedBodyLength: Int? {
        request.headers.withValue("content-length") { FieldBytes(raw: $0).decimal } ?? nil
    }

    /// Reads the whole body; sends `100 Continue` first where the caller waits for it. The array has at least 64 bytes
    /// of spare capacity, so that a parser may read beyond its end. Call at most once.
    ///
    /// - Throws: `RequestBodyError`. A handler that then returns without an answer is answered 413, 408, 503 or 400.
    package func collectBody(limit: Int) async throws -> [UInt8] {
        if let whole = try bodyIfArrived(limit: limit) { return whole }
        let limit = min(limit, bodyLimit)
        if body.isOpen {
            if let announced = announcedBodyLength, announced > limit {
                body.fail(.tooLarge)
            } else {
                carrier?.bodyIsWanted()
                if body.isOpen {
                    await withUnsafeContinuation { body.wait($0) }
                }
            }
        }
        return try body.take()
    }

    /// The whole body where it is here already, as most are when their heads are read; nil where it is to be waited for, by
    /// `collectBody`.
    ///
    /// - Throws: `RequestBodyError`, as `collectBody`.
    package func bodyIfArrived(limit: Int) throws(RequestBodyError) -> [UInt8]? {
        body.want(limit: min(limit, bodyLimit))
        return body.isOpen ? nil : try body.take()
    }

    /// Takes so many bytes more of what bodies may take together, until this exchange is let go of: for what is made of
    /// the body.
    ///
    /// - Throws: `RequestBodyError.noRoom`.
    package func takeRoom(_ count: Int) throws(RequestBodyError) {
        guard room.take(count) else { throw .noRoom }
    }

    // MARK: Answer

    /// The status of the answer; nil before there is one, and when the caller was gone by then.
    package private(set) var answeredStatus: Int?

    /// Fields that the answer's head gets beside its own, whoever writes it.
    package var furtherFields: HeaderFields?

    /// Sends a whole answer; `content-length` is added.
    package func respond(_ head: HTTPResponseHead, body: [UInt8]) {
        guard answer == .none, let carrier else { return }
        answer = .finished
        answeredStatus = head.status
        carrier.startAnswer(furtherFields.map { head.adding($0) } ?? head, body: body)
    }

    /// Sends `103 Early Hints` (RFC 8297) without a hint before the answer. HTTP/1.0 callers get none.
    package func sendEarlyHints() {
        guard answer == .none else { return }
        carrier?.sendEarlyHints()
    }

    /// Sends the head; a body follows in pieces (chunked on HTTP/1.1 unless `content-length` is given).
    package func startResponse(_ head: HTTPResponseHead) {
        guard answer == .none, let carrier else { return }
        answer = .started
        answeredStatus = head.status
        carrier.startAnswer(furtherFields.map { head.adding($0) } ?? head, body: nil)
    }

    package func write(_ bytes: UnsafeRawBufferPointer) {
        guard answer == .started, !bytes.isEmpty else { return }
        carrier?.writeAnswer(bytes)
    }

    /// Ends the body.
    package func finish() {
        guard answer == .started, let carrier else { return }
        answer = .finished
        carrier.finishAnswer()
    }

    /// Breaks the answer off so that the caller can see it is incomplete: RST_STREAM, or the connection is cut.
    package func cut() {
        guard answer != .finished, let carrier else { return }
        answer = .finished
        carrier.cutAnswer()
    }

    package var isResponseStarted: Bool { answer != .none }
    package var isFinished: Bool { answer == .finished }

    // MARK: The caller's pace

    /// Bytes written here that the caller has not taken.
    package var pendingBytes: Int { carrier?.pendingBytes ?? 0 }

    /// Asks for one call of `onDrain` when `pendingBytes` has fallen to zero.
    package func notifyWhenDrained() { carrier?.notifyWhenDrained() }
    package var onDrain: (() -> Void)?

    package private(set) var isCallerGone = false
    /// Called once if the caller goes away before the answer is finished. Not called when it was set after that: see
    /// `isCallerGone`.
    package var onCallerGone: (() -> Void)?

    // MARK: For the carrier

    var isBodyWanted: Bool { body.isWanted }
    var isBodyOpen: Bool { body.isOpen }
    var hasBodyFailed: Bool { body.failure != nil }
    var bodyBytes: Int { body.count }

    /// - Parameter left: how many bytes are still to come, where that is known.
    func bodyDidArrive(_ bytes: UnsafeRawBufferPointer, left: Int) {
        guard body.isOpen else { return }
        guard room.take(bytes.count) else { return body.fail(.noRoom) }
        body.append(bytes, left: left)
    }

    func readBody(atMost left: Int, _ read: (UnsafeMutableRawBufferPointer) -> Int) {
        body.read(atMost: left, read)
    }

    /// So many bytes that `readBody` has read are part of the body.
    func bodyDidArrive(inPlace count: Int) {
        guard body.isOpen else { return }
        if room.take(count) { body.didRead() } else { body.fail(.noRoom) }
    }

    var arrivedBody: [UInt8] { body.arrived }

    func bodyDidEnd() { body.complete() }
    func bodyDidFail(_ error: RequestBodyError) { body.fail(error) }

    /// Has the server's handler run.
    func start() {
        // A body that is still coming is read to where it stays as soon as the handler has asked for it.
        server.handlers.run(self, atOnce: body.isOpen)
    }

    /// Answers in place of the handler, which never sees the request.
    func refuse(_ status: Int) {
        let answer = server.faultAnswer(ProtocolFault(status: status, request: request, startedAt: startedAt))
        respond(answer.head, body: answer.body)
    }

    /// Whether something else goes on with the answer when the handler has returned.
    package private(set) var isContinued = false

    /// To be called before the handler returns without having answered: who goes on calls `handlingDidEnd`.
    package func continueLater() { isContinued = true }

    /// Nobody will answer any more: a caller that has nothing by now is told so.
    package func handlingDidEnd() {
        guard answer == .none else { return }
        let status =
            switch body.failure {
            case .tooLarge: 413
            case .timedOut: 408
            case .noRoom: 503
            case .malformed: 400
            case .callerGone, nil: 500
            }
        respond(HTTPResponseHead(status: status), body: [])
    }

    /// The answer has been written to its end, or cut: nothing more is carried.
    func didEnd() {
        guard carrier != nil else { return }
        carrier = nil
        onDrain = nil
        onCallerGone = nil
        body.fail(.callerGone)
        server.exchangeDidEnd()
    }

    /// The caller left before the answer was finished.
    func callerDidLeave() {
        guard carrier != nil, answer != .finished else { return didEnd() }
        let onCallerGone = onCallerGone
        isCallerGone = true
        didEnd()
        onCallerGone?()
    }
}

extension ServerExchange {
    package func write(_ bytes: [UInt8]) { bytes.withUnsafeBytes { write($0) } }
}

extension HTTPResponseHead {
    fileprivate func adding(_ fields: HeaderFields) -> HTTPResponseHead {
        var head = self
        fields.forEach { head.headers.add($0, $1) }
        return head
    }
}
