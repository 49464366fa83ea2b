import CNGHTTP2
import HTTPMessages
import HTTPWire
import Reactor
import Testing

/// An HTTP/2 client on nghttp2, over a real socket. Reads and writes when told to.
final class HTTP2TestClient: ByteStreamHandler {
    struct Response {
        var interim: [Int] = []
        var status = 0
        var headers = HeaderFields()
        var body: [UInt8] = []
        /// The peer has ended its side.
        var isEnded = false
        /// What the stream was closed with.
        var closeCode: UInt32?
        var text: String { String(decoding: body, as: UTF8.self) }
    }
    struct Body {
        var bytes: [UInt8]
        var isLast: Bool
        var sent = 0
        var left: Int { bytes.count - sent }
    }

    let loop: EventLoop
    let stream: any ByteStream
    private var session: HTTP2Session?
    private(set) var responses: [Int32: Response] = [:]
    private(set) var goaways: [(last: Int32, code: UInt32)] = []
    private(set) var settings: [UInt32: UInt32] = [:]
    private(set) var hasEnded = false
    private(set) var maximumUncredited = 0
    private var collector = HTTP2HeadCollector()
    private var bodies: [Int32: Body] = [:]
    private var waiting: (condition: (HTTP2TestClient) -> Bool, promise: Promise<Void>)?
    /// Whether windows are given back as data arrives; else only by `credit`.
    var creditsStreams = true

    init(_ loop: EventLoop, _ stream: any ByteStream, streamWindow: UInt32 = 1 << 20) throws {
        self.loop = loop
        self.stream = stream
        let session = try HTTP2Session(.client, userData: Unmanaged.passUnretained(self).toOpaque()) { callbacks in
            nghttp2_session_callbacks_set_on_header_callback(callbacks) {
                _,
                frame,
                name,
                nameLength,
                value,
                length,
                _,
                data in
                guard let me = client(data) else { return -1 }
                me.collector.add(
                    UnsafeRawBufferPointer(start: name, count: nameLength),
                    UnsafeRawBufferPointer(start: value, count: length)
                )
                return 0
            }
            nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, data in
                guard let me = client(data), let frame else { return -1 }
                me.didReceive(frame)
                return 0
            }
            nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { session, _, id, bytes, count, data in
                guard let me = client(data) else { return -1 }
                me.responses[id]?.body.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
                nghttp2_session_consume_connection(session, count)
                if me.creditsStreams { nghttp2_session_consume_stream(session, id, count) }
                return 0
            }
            nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, data in
                client(data)?.responses[id]?.closeCode = code
                return 0
            }
        }
        self.session = session
        let entries = [
            nghttp2_settings_entry(
                settings_id: Int32(bitPattern: NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
                value: streamWindow
            )
        ]
        nghttp2_submit_settings(session.raw, 0, entries, entries.count)
        stream.handler = self
        stream.setReading(true)
        flush()
    }

    /// Opens a stream; without `body` the request ends with its head.
    @discardableResult
    func request(
        _ path: String,
        method: String = "GET",
        headers: HeaderFields = [:],
        body: [UInt8]? = nil,
        isLast: Bool = true
    ) -> Int32 {
        guard let session else { return -1 }
        let id = HTTP2Fields.withRequest(
            HTTPRequestHead(method: method, target: path, headers: headers),
            scheme: "http",
            authority: "test"
        ) { fields, count -> Int32 in
            guard body != nil else { return nghttp2_submit_request(session.raw, nil, fields, count, nil, nil) }
            var provider = nghttp2_data_provider(
                source: nghttp2_data_source(ptr: Unmanaged.passUnretained(self).toOpaque()),
                read_callback: { _, id, buffer, limit, flags, source, _ in
                    guard let me = client(source?.pointee.ptr), let buffer, let flags else { return -1 }
                    return me.read(id, UnsafeMutableRawBufferPointer(start: buffer, count: limit), flags)
                }
            )
            return nghttp2_submit_request(session.raw, nil, fields, count, &provider, nil)
        }
        responses[id] = Response()
        if let body { bodies[id] = Body(bytes: body, isLast: isLast) }
        flush()
        return id
    }

    func send(_ bytes: [UInt8], on id: Int32, isLast: Bool = false) {
        bodies[id]?.bytes += bytes
        bodies[id]?.isLast = isLast
        if let session { nghttp2_session_resume_data(session.raw, id) }
        flush()
    }

    func reset(_ id: Int32) {
        if let session { nghttp2_submit_rst_stream(session.raw, 0, id, NGHTTP2_CANCEL.rawValue) }
        flush()
    }

    func credit(_ id: Int32) {
        guard let session, let count = responses[id]?.body.count else { return }
        nghttp2_session_consume_stream(session.raw, id, count)
        flush()
    }

    func ping() {
        if let session { nghttp2_submit_ping(session.raw, 0, nil) }
        flush()
    }

    /// How much of a stream's body the server has let us send.
    func unsent(_ id: Int32) -> Int { bodies[id]?.left ?? 0 }

    /// Bytes that no nghttp2 would send.
    func sendRaw(_ bytes: [UInt8]) { stream.write(bytes) }

    private func read(
        _ id: Int32,
        _ buffer: UnsafeMutableRawBufferPointer,
        _ flags: UnsafeMutablePointer<UInt32>
    ) -> Int {
        guard let body = bodies[id] else { return -1 }
        let count = min(body.left, buffer.count)
        if count == 0, !body.isLast { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        buffer.copyBytes(from: body.bytes[body.sent..<(body.sent + count)])
        bodies[id]?.sent += count
        if body.isLast, count == body.left { flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue }
        return count
    }

    private func didReceive(_ frame: UnsafePointer<nghttp2_frame>) {
        let id = frame.pointee.hd.stream_id
        switch UInt32(frame.pointee.hd.type) {
        case NGHTTP2_HEADERS.rawValue:
            let head = collector.takeResponse()
            collector = HTTP2HeadCollector()
            if head.status < 200 {
                responses[id]?.interim.append(head.status)
            } else {
                responses[id]?.status = head.status
                responses[id]?.headers = head.headers
            }
        case NGHTTP2_GOAWAY.rawValue:
            goaways.append((frame.pointee.goaway.last_stream_id, frame.pointee.goaway.error_code))
        case NGHTTP2_SETTINGS.rawValue:
            for index in 0..<frame.pointee.settings.niv {
                let entry = frame.pointee.settings.iv[index]
                settings[UInt32(bitPattern: entry.settings_id)] = entry.value
            }
        default: break
        }
        if frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 { responses[id]?.isEnded = true }
    }

    func flush() {
        try? session?.drainOutput { bytes in
            stream.write(bytes)
            return true
        }
    }

    // MARK: Waiting

    func wait(_ what: String = "", _ condition: @escaping (HTTP2TestClient) -> Bool) async throws {
        guard !condition(self) else { return }
        let promise = Promise<Void>()
        waiting = (condition, promise)
        let timer = loop.schedule(after: .seconds(90)) { promise.fail(WaitedTooLong(had: what)) }
        try await promise.wait()
        timer.stop()
    }

    /// The whole answer on a stream.
    func response(_ id: Int32) async throws -> Response {
        try await wait("stream \(id)") { $0.responses[id]?.closeCode != nil || $0.hasEnded }
        return try #require(responses[id])
    }

    func get(_ path: String) async throws -> Response { try await response(request(path)) }

    private func check() {
        guard let (condition, promise) = waiting, condition(self) else { return }
        waiting = nil
        promise.succeed(())
    }

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        do throws(HTTP2Error) { try session?.receive(bytes) } catch { stream.abort() }
        flush()
        check()
    }

    func streamDidDrain() {}

    func streamDidEnd(_ error: (any Error)?) {
        hasEnded = true
        check()
    }
}

private func client(_ data: UnsafeMutableRawPointer?) -> HTTP2TestClient? {
    data.map { Unmanaged<HTTP2TestClient>.fromOpaque($0).takeUnretainedValue() }
}

/// One frame, as it stands on the wire (RFC 9113, 4.1).
func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    let count = payload.count
    return [UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags]
        + [UInt8(stream >> 24), UInt8(stream >> 16 & 255), UInt8(stream >> 8 & 255), UInt8(stream & 255)] + payload
}

let http2Preface = [UInt8]("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
/// `:method: GET`, `:scheme: http`, `:path: /`, `:authority: a`, in HPACK.
let getBlock: [UInt8] = [0x82, 0x86, 0x84, 0x41, 0x01, 0x61]
