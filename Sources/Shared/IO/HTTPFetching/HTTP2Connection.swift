import CNGHTTP2
import HTTPMessages
import HTTPWire
import Reactor

/// The client's side of one HTTP/2 connection (RFC 9113).
///
/// The connection's window is credited as bytes arrive and a stream's as its reader takes them, so a slow reader stops
/// its own stream and no other. Frames are made and written when the loop's turn ends.
final class HTTP2Connection: ClientConnection, ByteStreamHandler, TurnEndObserver {
    private let pool: EndpointPool
    private let stream: any ByteStream
    let session: HTTP2Session
    private let options: HTTPClient.Options

    /// Streams that nghttp2 has, each exchange at its `place`; an abandoned one until its RST_STREAM is out.
    private var open: [Exchange] = []
    private var phase = Phase.open
    private(set) var now: MonotonicTime
    private let openedAt: MonotonicTime
    private var lastReceived: MonotonicTime
    private var idleSince: MonotonicTime
    private var pingSentAt: MonotonicTime?
    private var isFlushScheduled = false
    private var run = DataRun()
    private var isOutputBlocked = false
    private var hasFreedStreams = false
    private var hasSettings = false
    private var budget: FloodBudget
    /// The exchange whose head is being read, and what there is of that. HTTP/2 does not mix heads.
    private var reading: Exchange?
    private var fields = HTTP2HeadCollector()
    /// What nghttp2 found wrong, for the exchanges it ends because of that.
    var violation: String?

    private enum Phase {
        /// Next: `retired`, `closed`.
        case open
        /// Takes no new streams; those it has go on. Next: `closed`.
        case retired
        case closed
    }

    static let headLimit = 64 * 1024
    /// Output beyond this waits inside nghttp2 until the kernel has taken some.
    private static let outputLimit = 128 * 1024
    /// How soon the loss of a connection shows that its peer had closed it before our request arrived.
    static let staleLimit = Duration.seconds(2)

    init(_ stream: any ByteStream, in pool: EndpointPool, serial: UInt64) throws {
        self.pool = pool
        self.stream = stream
        options = pool.options
        let now = MonotonicTime.now
        self.now = now
        openedAt = now
        lastReceived = now
        idleSince = now
        budget = FloodBudget(capacity: 1000, perSecond: 100, now: now)
        session = try HTTP2Session(.client, userData: nil) { Self.setCallbacks($0) }
        super.init(serial: serial)
        session.setUserData(Unmanaged.passUnretained(self).toOpaque())
        try submitSettings()
        stream.handler = self
        stream.setReading(true)
        scheduleFlush()
    }

    private func submitSettings() throws {
        let window = UInt32(clamping: options.windowPerStream)
        let settings = [
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
                value: min(window, UInt32(Int32.max))
            ),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue),
                value: UInt32(Self.headLimit)
            ),
        ]
        try nghttp2("nghttp2_submit_settings") {
            nghttp2_submit_settings(session.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
        }
        // Room for every stream's window, so that readers who wait never stop those who do not.
        let all = options.windowPerStream.multipliedReportingOverflow(by: options.streamsPerConnection)
        let whole = Int32(clamping: all.overflow ? Int.max : max(all.partialValue, 65_535))
        try nghttp2("nghttp2_session_set_local_window_size") {
            nghttp2_session_set_local_window_size(session.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, whole)
        }
    }

    // MARK: Use by the pool

    /// What the peer allows and we want at a time; before the peer has said it, what the last one allowed.
    var streamLimit: Int {
        guard hasSettings else { return pool.streamLimit }
        let peer = nghttp2_session_get_remote_settings(session.raw, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
        return min(options.streamsPerConnection, Int(peer))
    }

    /// A PING is out that decides whether it is still to be trusted.
    var isBeingChecked: Bool { pingSentAt != nil }

    var room: Int { phase == .open ? max(0, streamLimit - open.count) : 0 }

    /// Whether it was heard of recently enough; else asks it for a sign of life, and the pool is told of the answer.
    func checkHealth(now: MonotonicTime) -> Bool {
        guard pingSentAt == nil else { return false }
        guard now - lastReceived > options.pingAfter else { return true }
        nghttp2_submit_ping(session.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
        pingSentAt = now
        pool.deadlines.add(self, at: now + options.pingTimeout)
        scheduleFlush()
        return false
    }

    /// Sends the request. False when the connection can take no more: it is retired then.
    func start(_ exchange: Exchange, now: MonotonicTime) -> Bool {
        let hasBody = !exchange.request.body.isEmpty
        var provider = nghttp2_data_provider()
        provider.source.ptr = Unmanaged.passUnretained(exchange).toOpaque()
        provider.read_callback = Self.readBody
        let id = HTTP2Fields.withRequest(
            exchange.request.head,
            scheme: pool.endpoint.isTLS ? "https" : "http",
            authority: pool.authority,
            prefersHost: true,
            contentLength: exchange.bodyCount
        ) { fields, count in
            withUnsafePointer(to: &provider) { provider in
                nghttp2_submit_request(
                    session.raw,
                    nil,
                    fields,
                    count,
                    hasBody ? provider : nil,
                    Unmanaged.passUnretained(exchange).toOpaque()
                )
            }
        }
        guard id > 0 else {
            retire()
            return false
        }
        exchange.streamID = id
        exchange.place = open.count
        open.append(exchange)
        exchange.begin(on: self, now: now)
        // A body that does not get through at once, for want of window, has its deadline from here on.
        if hasBody { exchange.mustWaitToSend() } else { exchange.didSendAll(now: now) }
        scheduleFlush()
        return true
    }

    /// Takes no new streams and closes when it has none.
    func retire() {
        guard phase == .open else { return }
        phase = .retired
        pool.connectionDidRetire(self)
        scheduleFlush()
    }

    // MARK: Use by exchanges

    override func bodyWasTaken(_ count: Int, of exchange: Exchange) {
        guard phase != .closed else { return }
        nghttp2_session_consume_stream(session.raw, exchange.streamID, count)
        flushIfWanted()
    }

    override func cancel(_ exchange: Exchange) {
        guard phase != .closed else { return }
        reset(exchange, NGHTTP2_CANCEL)
    }

    private func reset(_ exchange: Exchange, _ code: nghttp2_error_code) {
        nghttp2_submit_rst_stream(
            session.raw,
            UInt8(NGHTTP2_FLAG_NONE.rawValue),
            exchange.streamID,
            code.rawValue
        )
        scheduleFlush()
    }

    // MARK: Frames received

    /// The stream that a frame belongs to.
    func exchange(_ streamID: Int32) -> Exchange? {
        nghttp2_session_get_stream_user_data(session.raw, streamID).map {
            Unmanaged<Exchange>.fromOpaque($0).takeUnretainedValue()
        }
    }

    /// A frame has begun. Those that can be sent without end and bring nothing are counted.
    func willReceive(_ header: nghttp2_frame_hd) {
        switch nghttp2_frame_type(UInt32(header.type)) {
        case NGHTTP2_DATA:
            if header.length == 0, header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) == 0 { spend() }
        case NGHTTP2_HEADERS, NGHTTP2_CONTINUATION, NGHTTP2_WINDOW_UPDATE:
            break
        default:
            spend()
        }
    }

    func headDidBegin(_ streamID: Int32) {
        reading = exchange(streamID)
        fields.reset()
    }

    /// False when the head has become longer than anybody's should be: then nghttp2 resets the stream.
    func didReceiveField(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        guard let exchange = reading else { return true }
        fields.add(name, value)
        guard fields.byteCount > Self.headLimit else { return true }
        reading = nil
        exchange.didEnd(.protocolViolation(detail: "head too large"))
        return false
    }

    func didReceive(_ frame: UnsafePointer<nghttp2_frame>) {
        let header = frame.pointee.hd
        let isEnd = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
        let isAck = header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0
        switch nghttp2_frame_type(UInt32(header.type)) {
        case NGHTTP2_DATA: if isEnd { didReceiveEnd(header.stream_id) }
        case NGHTTP2_HEADERS: didReceiveHead(isEnd: isEnd, streamID: header.stream_id)
        case NGHTTP2_SETTINGS: if !isAck { didReceiveSettings() }
        case NGHTTP2_PING: if isAck { didReceivePong() }
        case NGHTTP2_GOAWAY: retire()
        default: break
        }
    }

    private func didReceiveSettings() {
        hasSettings = true
        pool.streamLimitDidChange(self)
    }

    private func didReceiveHead(isEnd: Bool, streamID: Int32) {
        guard let exchange = reading else { return }
        reading = nil
        switch fields.status {
        case 0: break  // Trailers.
        case 100..<200: return spend()
        default:
            budget.earn()
            exchange.didReceiveHead(fields.takeResponse(), version: .http2, now: now)
        }
        if isEnd { didReceiveEnd(streamID) }
    }

    private func didReceiveEnd(_ streamID: Int32) {
        guard let exchange = exchange(streamID) else { return }
        // An answer may come before the request is through; the rest of it interests nobody any more.
        if exchange.bodySent < exchange.bodyCount { reset(exchange, NGHTTP2_NO_ERROR) }
        exchange.didEnd(nil)
    }

    private func didReceivePong() {
        guard pingSentAt != nil else { return }
        pingSentAt = nil
        pool.serve()
    }

    private func spend() {
        guard phase != .closed, violation == nil, !budget.spend(now: now) else { return }
        violation = "flood"
        nghttp2_session_terminate_session(session.raw, NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
        retire()
    }

    // MARK: Streams ended

    func streamDidClose(_ exchange: Exchange, code: UInt32) {
        remove(exchange)
        let hasHead = exchange.stage == .reading
        if let violation {
            exchange.didEnd(Self.error(violation, isViolation: true, hasHead: hasHead))
        } else if code == NGHTTP2_REFUSED_STREAM.rawValue, !hasHead {
            exchange.didEnd(.notProcessed)
        } else if exchange.stage != .ended {
            let name = nghttp2_http2_strerror(code).map { String(cString: $0) } ?? "\(code)"
            let isViolation = code == NGHTTP2_PROTOCOL_ERROR.rawValue
            exchange.didEnd(Self.error("stream ended: \(name)", isViolation: isViolation, hasHead: hasHead))
        }
    }

    /// The head of a request could not be sent any more: a GOAWAY was faster.
    func didNotSendHead(_ streamID: Int32) {
        guard let exchange = open.first(where: { $0.streamID == streamID }) else { return }
        nghttp2_session_set_stream_user_data(session.raw, streamID, nil)
        remove(exchange)
        exchange.didEnd(.notProcessed)
    }

    private func remove(_ exchange: Exchange) {
        guard open.indices.contains(exchange.place), open[exchange.place] === exchange else { return }
        let last = open.removeLast()
        if last !== exchange {
            open[exchange.place] = last
            last.place = exchange.place
        }
        exchange.place = -1
        hasFreedStreams = true
        scheduleFlush()
    }

    private static func error(_ detail: String, isViolation: Bool, hasHead: Bool) -> FetchError {
        isViolation && !hasHead ? .protocolViolation(detail: detail) : .connectionLost(detail: detail)
    }

    // MARK: The stream below

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        guard phase != .closed else { return }
        now = .now
        lastReceived = now
        do {
            try session.receive(bytes)
        } catch {
            return fail("\(error)", isViolation: true)
        }
        if session.isOver { scheduleFlush() } else { flushIfWanted() }
    }

    func streamDidDrain() {
        isOutputBlocked = false
        scheduleFlush()
    }

    func streamDidEnd(_ error: (any Error)?) {
        fail(error.map { "\($0)" } ?? "closed by upstream", isViolation: false)
    }

    private func flushIfWanted() {
        if nghttp2_session_want_write(session.raw) != 0 { scheduleFlush() }
    }

    private func scheduleFlush() {
        guard !isFlushScheduled, phase != .closed else { return }
        isFlushScheduled = true
        pool.loop.notifyAtTurnEnd(self)
    }

    func turnDidEnd() {
        isFlushScheduled = false
        guard phase != .closed else { return }
        let wasBusy = hasFreedStreams || lastReceived == openedAt
        if hasFreedStreams {
            hasFreedStreams = false
            pool.serve()
        }
        guard !isOutputBlocked else { return }
        now = .now
        do {
            try session.drainOutput { bytes in
                writeRun()
                stream.write(bytes)
                return canWrite
            }
        } catch {
            return fail("\(error)", isViolation: true)
        }
        writeRun()
        if isOutputBlocked { stream.notifyWhenDrained() }
        if open.isEmpty {
            if phase == .retired { return close() }
            if wasBusy { becomeIdle() }
        }
        if session.isOver { fail(violation ?? "connection error", isViolation: true) }
    }

    /// False when enough output waits for the kernel; the rest follows when it has been taken.
    private var canWrite: Bool {
        if stream.bufferedBytes >= Self.outputLimit { isOutputBlocked = true }
        return !isOutputBlocked
    }

    /// Takes one DATA frame, which leaves straight from the request's body. False when it must wait.
    func writeData(of exchange: Exchange, header: UnsafePointer<UInt8>, count: Int) -> Bool {
        if run.isFull { writeRun() }
        guard canWrite else { return false }
        let header = UnsafeBufferPointer(start: header, count: DataRun.headerBytes)
        if count <= DataRun.smallest {
            writeRun()
            stream.write(UnsafeRawBufferPointer(header))
            exchange.withBody(next: count) { stream.write($0) }
        } else {
            run.add(exchange, header, count)
        }
        exchange.didSend(count, now: now)
        return true
    }

    private func writeRun() {
        run.take { stream.writeThrough($0) }
    }

    // MARK: Ending

    private func becomeIdle() {
        idleSince = now
        guard !pool.isClosed else { return retire() }
        pool.deadlines.add(self, at: now + options.idleConnectionLifetime)
    }

    override func deadlineDidPass(_ now: MonotonicTime) -> MonotonicTime? {
        guard phase != .closed else { return nil }
        if let pingSentAt {
            let due = pingSentAt + options.pingTimeout
            guard due <= now else { return due }
            fail("no answer to PING", isViolation: false, isSudden: true)
            return nil
        }
        guard open.isEmpty else { return now + options.idleConnectionLifetime }
        let due = idleSince + options.idleConnectionLifetime
        guard due <= now else { return due }
        retire()
        return nil
    }

    /// Tells the peer that nothing more will come, and closes.
    private func close() {
        nghttp2_session_terminate_session(session.raw, NGHTTP2_NO_ERROR.rawValue)
        try? session.drainOutput { bytes in
            stream.write(bytes)
            return true
        }
        fail("closed", isViolation: false)
    }

    /// Ends the connection and with it every exchange it carries. Not to be called while nghttp2 calls back.
    private func fail(_ detail: String, isViolation: Bool, isSudden: Bool = false) {
        guard phase != .closed else { return }
        if phase == .open { pool.connectionDidRetire(self) }
        phase = .closed
        pool.deadlines.remove(self)
        if isSudden { stream.abort() } else { stream.close() }
        let lost = open
        open = []
        let lostAt = MonotonicTime.now
        for exchange in lost {
            exchange.place = -1
            let isStale = !isViolation && isStale(for: exchange, lostAt: lostAt)
            let hasHead = exchange.stage == .reading
            exchange.didEnd(
                isStale ? .notProcessed : Self.error(detail, isViolation: isViolation, hasHead: hasHead)
            )
        }
        pool.connectionDidClose()
    }

    /// Whether a connection used before had died before the request reached the peer: nothing at all came back, and
    /// the loss showed within a round trip or so. Lost later, the request may well have been worked on.
    private func isStale(for exchange: Exchange, lostAt: MonotonicTime) -> Bool {
        exchange.stage != .reading && openedAt < lastReceived && lastReceived < exchange.sentAt
            && lostAt - exchange.sentAt < Self.staleLimit
    }
}
