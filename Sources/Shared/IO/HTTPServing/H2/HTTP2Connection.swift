import CNGHTTP2
import HTTPMessages
import HTTPWire
import Reactor

enum HTTP2ErrorCode: UInt32 {
    case noError = 0
    case internalError = 2
    case cancel = 8
    case enhanceYourCalm = 11
}

/// An HTTP/2 connection (RFC 9113): nghttp2 reads and makes frames, this class joins them to exchanges.
///
/// nghttp2's callbacks only take notes. Handlers, and everything else that may write, run when nghttp2 has returned.
/// Output is made once, when the loop's turn ends, and only while the socket takes it.
final class HTTP2Connection: ServerConnection, TurnEndObserver {
    private enum Phase {
        /// Next: `closing`, `closed`.
        case open
        /// Waits until the caller has taken the last frames. Next: `closed`.
        case closing
        case closed
    }

    private let link: ConnectionLink
    private var session: HTTP2Session?
    private var phase = Phase.open
    private var streams: [Int32: HTTP2Stream] = [:]
    /// Kept because the session may still point to them: a connection can fail in the middle of sending.
    private var dropped: [HTTP2Stream] = []
    private var isFlushScheduled = false
    private var waitsForDrain = false

    // Notes of the callbacks.
    private var ready: [HTTP2Stream] = []
    private var closed: [HTTP2Stream] = []
    private var emptied: [HTTP2Stream] = []
    /// Answered before the request had ended: the caller is told to stop sending (RFC 9113, 8.1).
    private var answeredEarly: [HTTP2Stream] = []
    private var isFlooded = false
    private var receivedAt = MonotonicTime.now

    private var budget = FloodBudget()
    private var frames = FrameTracker()
    /// Of the header block being read, as SETTINGS_MAX_HEADER_LIST_SIZE counts.
    private var headBytes = 0
    private var idleDeadline = MonotonicTime.never
    private var headDeadline = MonotonicTime.never
    /// When a stream last had its turn.
    private var lastTake = MonotonicTime.never
    private var headNumber = 0
    private var finalGoawayAt = MonotonicTime.never
    private var isDraining = false
    private var isGoawaySubmitted = false

    private static let streamWindow: UInt32 = 256 * 1024
    private static let connectionWindow: Int32 = 1024 * 1024
    /// Between the two GOAWAYs of an orderly end: enough for requests on their way to arrive.
    private static let drainNotice = Duration.milliseconds(500)

    init?(_ link: ConnectionLink) {
        self.link = link
        let me = Unmanaged.passUnretained(self).toOpaque()
        do throws(HTTP2Error) {
            let session = try HTTP2Session(.server, userData: me) { HTTP2Callbacks.set($0) }
            self.session = session
            let limits = link.server.limits
            let settings = [
                (NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.concurrentStreams),
                (NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, Int(Self.streamWindow)),
                (NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.headerBytes),
            ].map {
                nghttp2_settings_entry(
                    settings_id: Int32(bitPattern: $0.0.rawValue),
                    value: UInt32(clamping: $0.1)
                )
            }
            try nghttp2("nghttp2_submit_settings") {
                nghttp2_submit_settings(session.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
            }
            try nghttp2("nghttp2_session_set_local_window_size") {
                nghttp2_session_set_local_window_size(
                    session.raw,
                    UInt8(NGHTTP2_FLAG_NONE.rawValue),
                    0,
                    Self.connectionWindow
                )
            }
        } catch {
            return nil
        }
        becameIdle()
    }

    var limits: HTTPServerLimits { link.server.limits }

    // MARK: Input

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        guard phase == .open, let session else { return }
        receivedAt = .now
        frames.read(bytes)
        do throws(HTTP2Error) {
            try session.receive(bytes)
        } catch {
            // Whatever it was, nghttp2 cannot go on; its GOAWAY, if it made one, is still sent.
            if error.code == NGHTTP2_ERR_FLOODED.rawValue { isFlooded = true }
            if isFlooded { terminate(.enhanceYourCalm) }
            flush()
            return closeWhenTaken()
        }
        if isFlooded { terminate(.enhanceYourCalm) }
        actOnNotes()
        setHeadDeadline()
        scheduleFlush()
    }

    private func actOnNotes() {
        while !closed.isEmpty || !ready.isEmpty || !emptied.isEmpty {
            var streams: [HTTP2Stream] = []
            swap(&streams, &closed)
            for stream in streams { stream.drop() }
            streams.removeAll()
            swap(&streams, &ready)
            for stream in streams { stream.start() }
            streams.removeAll()
            swap(&streams, &emptied)
            for stream in streams { stream.reportDrain() }
        }
    }

    func streamDidDrain() {
        waitsForDrain = false
        switch phase {
        case .open: flush()
        case .closing: end { link.close() }
        case .closed: break
        }
    }

    func streamDidEnd(_ error: (any Error)?) {
        end { error == nil ? link.abort() : link.didEnd() }
    }

    // MARK: Output

    func scheduleFlush() {
        guard !isFlushScheduled, phase == .open else { return }
        isFlushScheduled = true
        link.server.loop.notifyAtTurnEnd(self)
    }

    func turnDidEnd() {
        isFlushScheduled = false
        flush()
    }

    /// Sends frames while the socket takes them; the rest stays with its streams.
    private func flush() {
        guard phase == .open, let session else { return }
        if !link.isBackedUp {
            do throws(HTTP2Error) {
                try session.drainOutput { frame in
                    link.write(frame)
                    return phase == .open && !link.isBackedUp
                }
            } catch {
                return end { link.abort() }
            }
        }
        guard phase == .open else { return }
        for stream in answeredEarly where streams[stream.id] != nil { reset(stream, .noError) }
        answeredEarly.removeAll(keepingCapacity: true)
        actOnNotes()
        guard phase == .open else { return }
        if link.isBackedUp {
            guard !waitsForDrain else { return }
            waitsForDrain = true
            link.stream.notifyWhenDrained()
        } else if session.isOver {
            closeWhenTaken()
        }
    }
}

// MARK: - What nghttp2 reports

extension HTTP2Connection {
    func didBeginHeaders(_ id: Int32, isRequest: Bool) {
        headBytes = 0
        guard isRequest, let session else { return }
        let stream = HTTP2Stream(id, self, startedAt: receivedAt)
        streams[id] = stream
        idleDeadline = .never
        nghttp2_session_set_stream_user_data(session.raw, id, Unmanaged.passUnretained(stream).toOpaque())
    }

    /// False when the connection is not to be borne any longer: a small compressed block can become an endless head.
    func didReceiveField(
        _ stream: HTTP2Stream?,
        _ name: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer
    ) -> Bool {
        headBytes = headBytes &+ name.count &+ value.count &+ 32
        guard headBytes <= limits.headerBytes else {
            stream?.rejection = 431
            isFlooded = isFlooded || headBytes > 4 * limits.headerBytes
            return !isFlooded
        }
        stream?.collector?.add(name, value)
        return true
    }

    func didReceive(_ frame: UnsafePointer<nghttp2_frame>, _ stream: HTTP2Stream?) {
        let header = frame.pointee.hd
        let endsStream = UInt32(header.flags) & NGHTTP2_FLAG_END_STREAM.rawValue != 0
        switch UInt32(header.type) {
        case NGHTTP2_HEADERS.rawValue:
            guard let stream else { return }
            if let collector = stream.collector {
                stream.collector = nil
                if collector.isHostAmbiguous { stream.rejection = stream.rejection ?? 400 }
                didReceiveHead(collector.makeRequest(), stream)
            }
            if endsStream { requestDidEnd(stream) }
        case NGHTTP2_DATA.rawValue:
            if endsStream {
                if let stream { requestDidEnd(stream) }
            } else if header.length <= frame.pointee.data.padlen {
                spend(.emptyData)
            }
        case NGHTTP2_RST_STREAM.rawValue:
            spend(.reset)
        case NGHTTP2_WINDOW_UPDATE.rawValue:
            break
        default:
            spend(.control)
        }
    }

    /// What we answer by a reset costs as much as a reset by the caller.
    func didReceiveInvalidFrame() { spend(.reset) }

    private func spend(_ kind: FloodBudget.Kind) {
        if !budget.spend(kind, now: receivedAt) { isFlooded = true }
    }

    private func didReceiveHead(_ head: HTTPRequestHead, _ stream: HTTP2Stream) {
        if stream.rejection == nil {
            if head.method == "CONNECT" {
                stream.rejection = 405
            } else if let expectation = head.headers["expect"], expectation.lowercased() != "100-continue" {
                stream.rejection = 417
            }
        }
        stream.exchange = ServerExchange(
            link.server,
            stream,
            head,
            version: .http2,
            peer: link.stream.peer,
            isTLS: link.isTLS,
            startedAt: stream.startedAt
        )
        ready.append(stream)
    }

    private func requestDidEnd(_ stream: HTTP2Stream) {
        stream.isRequestComplete = true
        stream.bodyDeadline = .never
        stream.exchange?.bodyDidEnd()
    }

    func didReceiveData(_ stream: HTTP2Stream?, _ bytes: UnsafeRawBufferPointer) {
        guard let session else { return }
        nghttp2_session_consume_connection(session.raw, bytes.count)
        guard let stream, let exchange = stream.exchange else { return }
        let isFirst = exchange.isBodyOpen && exchange.bodyBytes == 0
        let left = isFirst ? max(0, (exchange.announcedBodyLength ?? 0) - bytes.count) : 0
        exchange.bodyDidArrive(bytes, left: left)
        stream.uncredited += bytes.count
        if exchange.isBodyWanted, exchange.isBodyOpen {
            credit(stream)
            stream.bodyDidProgress(now: receivedAt)
        }
    }

    func didClose(_ id: Int32) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        closed.append(stream)
        if streams.isEmpty { becameIdle() }
    }

    /// False when the socket is backed up: nghttp2 will come again with the same frame.
    func send(_ stream: HTTP2Stream, frameHeader: UnsafeRawBufferPointer, count: Int) -> Bool {
        guard phase == .open, !link.isBackedUp else { return false }
        link.write(frameHeader)
        stream.take(count) { link.write($0) }
        lastTake = stream.lastProgress
        return true
    }
}

// MARK: - What streams ask for

extension HTTP2Connection {
    func submitAnswer(_ stream: HTTP2Stream, _ head: HTTPResponseHead, contentLength: Int?, hasBody: Bool) {
        guard phase == .open, let session else { return }
        let code = link.server.today.withUnsafeBytes { date in
            HTTP2Fields.withResponse(head, date: date, contentLength: contentLength) { fields, count in
                guard hasBody else { return nghttp2_submit_response(session.raw, stream.id, fields, count, nil) }
                var provider = HTTP2Callbacks.provider(of: stream)
                return nghttp2_submit_response(session.raw, stream.id, fields, count, &provider)
            }
        }
        if code < 0 { reset(stream, .internalError) }
        scheduleFlush()
    }

    func submitInterim(_ status: Int, _ id: Int32) {
        guard phase == .open, let session else { return }
        HTTP2Fields.withInterim(status) { fields, count in
            _ = nghttp2_submit_headers(session.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, nil, fields, count, nil)
        }
        scheduleFlush()
    }

    func resume(_ stream: HTTP2Stream) {
        guard phase == .open, let session else { return }
        nghttp2_session_resume_data(session.raw, stream.id)
        scheduleFlush()
    }

    /// Whether the caller has left room for more of this stream (RFC 9113, 5.2), and only the connection, which moves, has
    /// none for it yet.
    private func isHeldByConnection(_ stream: HTTP2Stream, now: MonotonicTime) -> Bool {
        guard let session, nghttp2_session_get_stream_remote_window_size(session.raw, stream.id) > 0 else {
            return false
        }
        return nghttp2_session_get_remote_window_size(session.raw) > 0 || lastTake + limits.writeStallTimeout > now
    }

    func reset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
        guard phase == .open, let session else { return }
        nghttp2_submit_rst_stream(session.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, code.rawValue)
        scheduleFlush()
    }

    /// Gives the window of what has been read back to the caller.
    func credit(_ stream: HTTP2Stream) {
        guard phase == .open, let session, stream.uncredited > 0 else { return }
        nghttp2_session_consume_stream(session.raw, stream.id, stream.uncredited)
        stream.uncredited = 0
        scheduleFlush()
    }

    /// The last byte of the answer is written. One with a body comes to `didEmpty` when it is sent.
    func answerDidEnd(_ stream: HTTP2Stream, hasBody: Bool) {
        if !hasBody, !stream.isRequestComplete { answeredEarly.append(stream) }
        scheduleFlush()
    }

    func didEmpty(_ stream: HTTP2Stream) {
        emptied.append(stream)
        if stream.isAnswerComplete, !stream.isRequestComplete { answeredEarly.append(stream) }
        scheduleFlush()
    }

    func fire(by deadline: MonotonicTime) { link.timer.fire(by: deadline) }
}

// MARK: - Time and ending

extension HTTP2Connection {
    private func becameIdle() {
        if isDraining { return submitFinalGoaway() }
        idleDeadline = .now + limits.keepAliveTimeout
        link.timer.fire(by: idleDeadline)
    }

    private func setHeadDeadline() {
        guard frames.isInHead else {
            headDeadline = .never
            return
        }
        if headDeadline == .never || headNumber != frames.heads {
            headNumber = frames.heads
            headDeadline = receivedAt + limits.headerTimeout
            link.timer.fire(by: headDeadline)
        }
    }

    func deadlinesPassed(now: MonotonicTime) -> MonotonicTime {
        if link.isStalled(now: now) {
            end { link.abort() }
            return .never
        }
        guard phase == .open else { return link.nextLook }
        if finalGoawayAt <= now { submitFinalGoaway() }
        if headDeadline <= now || (idleDeadline <= now && streams.isEmpty) {
            headDeadline = .never
            idleDeadline = .never
            terminate(.noError)
        }
        var next = min(finalGoawayAt, headDeadline, idleDeadline, link.nextLook)
        for stream in Array(streams.values) {
            if stream.bodyDeadline <= now {
                stream.bodyDeadline = .never
                stream.exchange?.bodyDidFail(.timedOut)
            }
            if stream.writeDeadline <= now {
                if isHeldByConnection(stream, now: now) {
                    stream.waitsForConnection(now: now)
                } else {
                    reset(stream, .cancel)
                    stream.drop()
                }
            }
            next = min(next, stream.bodyDeadline, stream.writeDeadline)
        }
        return next
    }

    func drain() {
        guard phase == .open, !isDraining, let session else { return }
        isDraining = true
        guard !streams.isEmpty else { return submitFinalGoaway() }
        // Requests on their way are still taken; the last GOAWAY says where that ends (RFC 9113, 6.8).
        nghttp2_submit_shutdown_notice(session.raw)
        finalGoawayAt = .now + Self.drainNotice
        link.timer.fire(by: finalGoawayAt)
        scheduleFlush()
    }

    private func submitFinalGoaway() {
        finalGoawayAt = .never
        guard phase == .open, let session, !isGoawaySubmitted else { return }
        isGoawaySubmitted = true
        let last = nghttp2_session_get_last_proc_stream_id(session.raw)
        nghttp2_submit_goaway(
            session.raw,
            UInt8(NGHTTP2_FLAG_NONE.rawValue),
            last,
            HTTP2ErrorCode.noError.rawValue,
            nil,
            0
        )
        scheduleFlush()
    }

    /// Ends the connection with a GOAWAY that says why; its streams are lost.
    private func terminate(_ code: HTTP2ErrorCode) {
        guard phase == .open, let session else { return }
        nghttp2_session_terminate_session(session.raw, code.rawValue)
        scheduleFlush()
    }

    func cut() { end { link.abort() } }

    private func closeWhenTaken() {
        guard phase == .open else { return }
        phase = .closing
        dropStreams()
        if link.stream.bufferedBytes == 0 { end { link.close() } } else { link.stream.notifyWhenDrained() }
    }

    private func end(_ action: () -> Void) {
        guard phase != .closed else { return }
        phase = .closed
        action()
        dropStreams()
        session = nil
    }

    private func dropStreams() {
        dropped = Array(streams.values)
        let lost = dropped + closed
        streams = [:]
        closed = []
        ready = []
        for stream in lost { stream.drop() }
    }
}
