import HTTPMessages
import HTTPWire
import Reactor

/// One upstream HTTP/1.1 connection (RFC 9112): one exchange at a time, kept open in between.
final class HTTP1Connection: ClientConnection, ByteStreamHandler, HTTP1ParserDelegate {
    private let pool: EndpointPool
    private let stream: any ByteStream
    private let parser = HTTP1Parser(.responses, maximumHeadBytes: HTTP2Connection.headLimit)

    /// The exchange under way.
    private var exchange: Exchange?
    private var phase = Phase.idle
    /// What the answer says about the time after it.
    private var keepsAlive = true
    private var hasServed = false
    private var hasReceived = false
    private var interimHeads = 0
    private var isInterim = false
    private var now = MonotonicTime.now
    private var idleSince = MonotonicTime.now

    private enum Phase {
        /// Next: `busy`, `closed`.
        case idle
        /// Next: `idle`, `closed`.
        case busy
        case closed
    }

    /// Output beyond this waits until the kernel has taken some.
    private static let outputLimit = 128 * 1024
    private static let interimLimit = 32

    init(_ stream: any ByteStream, in pool: EndpointPool, serial: UInt64) {
        self.pool = pool
        self.stream = stream
        super.init(serial: serial)
        parser.delegate = self
        parser.pauseAfterMessage = true
        stream.handler = self
        // Also while idle: that is how its end is seen.
        stream.setReading(true)
        pool.deadlines.add(self, at: now + pool.options.idleConnectionLifetime)
    }

    // MARK: Sending

    func start(_ exchange: Exchange, now: MonotonicTime) {
        self.exchange = exchange
        phase = .busy
        hasReceived = false
        interimHeads = 0
        exchange.begin(on: self, now: now)
        guard let head = HTTP1RequestWriter.head(of: exchange.request, authority: pool.authority) else {
            end(.protocolViolation(detail: "request cannot be written"))
            return
        }
        parser.answersHead = exchange.request.head.method == "HEAD"
        stream.write(head)
        sendBody(now: now)
    }

    private func sendBody(now: MonotonicTime) {
        guard let exchange else { return }
        let room = max(0, Self.outputLimit - stream.bufferedBytes)
        let start = exchange.bodySent
        let count = min(room, exchange.bodyCount - start)
        if count > 0 {
            exchange.request.body.withUnsafeBytes {
                stream.writeThrough(UnsafeRawBufferPointer(rebasing: $0[start..<start + count]))
            }
        }
        exchange.didSend(count, now: now)
        if exchange.bodySent < exchange.bodyCount {
            exchange.mustWaitToSend()
            stream.notifyWhenDrained()
        }
    }

    func streamDidDrain() { sendBody(now: .now) }

    // MARK: Receiving

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        now = .now
        hasReceived = true
        var rest = bytes
        while !rest.isEmpty, phase == .busy {
            do {
                rest = UnsafeRawBufferPointer(rebasing: rest[try parser.feed(rest)...])
            } catch {
                return end(.protocolViolation(detail: "\(error)"))
            }
        }
        guard phase == .idle else { return }
        // More than the answer, or without a request: what follows could be taken for the next answer.
        if rest.isEmpty { pool.connectionIsIdle(self) } else { end(nil) }
    }

    func parserDidReadRequestHead(_ head: HTTPRequestHead, keepsAlive: Bool, expectsContinue: Bool) {}

    func parserDidReadResponseHead(_ head: HTTPResponseHead, keepsAlive: Bool) {
        switch head.status {
        case 101:
            end(.protocolViolation(detail: "101 without being asked"))
        case ..<200:
            isInterim = true
            interimHeads += 1
            if interimHeads > Self.interimLimit { end(.protocolViolation(detail: "flood")) }
        default:
            self.keepsAlive = keepsAlive
            exchange?.didReceiveHead(head, version: .http1, now: now)
        }
    }

    func parserDidReadBody(_ bytes: UnsafeRawBufferPointer) { exchange?.didReceiveBody(bytes, now: now) }

    func parserDidEndMessage() {
        guard !isInterim else {
            isInterim = false
            return
        }
        guard let exchange else { return }
        // An answer may come before the request is through: then the rest of it cannot be taken back.
        guard keepsAlive, exchange.bodySent >= exchange.bodyCount else { return end(nil) }
        self.exchange = nil
        phase = .idle
        hasServed = true
        idleSince = now
        stream.setReading(true)
        exchange.didEnd(nil)
    }

    func streamDidEnd(_ error: (any Error)?) {
        guard phase == .busy else { return end(nil) }
        if hasServed, !hasReceived, let exchange, .now - exchange.sentAt < HTTP2Connection.staleLimit {
            return end(.notProcessed)
        }
        if let error { return end(.connectionLost(detail: "\(error)")) }
        do {
            // An answer without a length ends here.
            keepsAlive = false
            try parser.finish()
            end(.connectionLost(detail: "closed by upstream"))
        } catch {
            end(.connectionLost(detail: "answer cut short"))
        }
    }

    // MARK: The reader's pace

    override func demandDidChange(of exchange: Exchange) {
        guard exchange === self.exchange, phase == .busy else { return }
        let isFull = exchange.isPaused || exchange.unreadCount >= pool.options.windowPerStream
        stream.setReading(!isFull)
    }

    override func bodyWasTaken(_ count: Int, of exchange: Exchange) {}

    override func cancel(_ exchange: Exchange) {
        guard exchange === self.exchange else { return }
        self.exchange = nil
        end(nil, isSudden: true)
    }

    // MARK: Ending

    override func deadlineDidPass(_ now: MonotonicTime) -> MonotonicTime? {
        let lifetime = pool.options.idleConnectionLifetime
        switch phase {
        case .closed: return nil
        case .busy: return now + lifetime
        case .idle:
            let due = idleSince + lifetime
            guard due <= now else { return due }
            end(nil)
            return nil
        }
    }

    /// Closes an idle connection.
    func retire() {
        if phase == .idle { end(nil) }
    }

    /// - Parameter isSudden: the upstream is in the middle of something that nobody wants any more.
    private func end(_ error: FetchError?, isSudden: Bool = false) {
        guard phase != .closed else { return }
        if phase == .idle { pool.connectionIsNoLongerIdle(self) }
        phase = .closed
        pool.deadlines.remove(self)
        if isSudden || error != nil { stream.abort() } else { stream.close() }
        let exchange = exchange
        self.exchange = nil
        exchange?.didEnd(error)
        pool.connectionDidClose()
    }
}
