import CNGHTTP2
import Reactor
import TLS
import Testing

/// A request as a scripted HTTP/2 server has read it.
struct HTTP2PeerRequest {
    let streamID: Int32
    var fields: [(name: String, value: String)] = []
    var body: [UInt8] = []
    var isEnded = false
    /// The error code of the client's RST_STREAM.
    var resetCode: UInt32?

    subscript(_ name: String) -> String? { fields.first { $0.name == name }?.value }
    var path: String { self[":path"] ?? "" }
}

/// One connection of a scripted HTTP/2 server. It makes and reads frames by hand, so that a test can also send what no
/// library would.
final class HTTP2PeerLink: ByteStreamHandler {
    enum Kind: UInt8 {
        case data, headers, priority, reset, settings, pushPromise, ping, goAway, windowUpdate, continuation
    }
    let stream: any ByteStream
    private let server: HTTP2Peer
    private var input: [UInt8] = []
    private var hasPreface = false
    private var inflater: OpaquePointer?
    private var deflater: OpaquePointer?
    private(set) var requests: [Int32: HTTP2PeerRequest] = [:]
    private(set) var order: [Int32] = []
    private(set) var pings = 0
    private(set) var goAwayCode: UInt32?
    private(set) var isEnded = false
    /// What the client lets us send: SETTINGS_INITIAL_WINDOW_SIZE, and per stream (0: the connection).
    private(set) var initialWindow = 65_535
    private(set) var windows: [Int32: Int] = [0: 65_535]
    private(set) var sent: [Int32: Int] = [:]
    private var outgoing: [(streamID: Int32, bytes: ArraySlice<UInt8>, isEnd: Bool)] = []

    init(_ stream: any ByteStream, _ server: HTTP2Peer) {
        self.stream = stream
        self.server = server
        nghttp2_hd_inflate_new(&inflater)
        nghttp2_hd_deflate_new(&deflater, 4096)
        stream.handler = self
        stream.setReading(true)
    }

    deinit {
        nghttp2_hd_inflate_del(inflater)
        nghttp2_hd_deflate_del(deflater)
    }

    // MARK: Sending

    func send(_ kind: UInt8, flags: UInt8 = 0, on streamID: Int32 = 0, _ payload: [UInt8] = []) {
        let count = payload.count
        let id = UInt32(bitPattern: streamID)
        stream.write(
            [
                UInt8(count >> 16 & 0xff), UInt8(count >> 8 & 0xff), UInt8(count & 0xff), kind, flags,
                UInt8(id >> 24), UInt8(id >> 16 & 0xff), UInt8(id >> 8 & 0xff), UInt8(id & 0xff),
            ] + payload
        )
    }

    func send(_ kind: Kind, flags: UInt8 = 0, on streamID: Int32 = 0, _ payload: [UInt8] = []) {
        send(kind.rawValue, flags: flags, on: streamID, payload)
    }

    func settings(_ values: [(id: UInt16, value: UInt32)]) {
        send(.settings, values.flatMap { bytes($0.id) + bytes($0.value) })
    }

    func head(_ status: Int, _ fields: [(String, String)] = [], on streamID: Int32, isEnd: Bool = false) {
        headers([(":status", String(status))] + fields, on: streamID, isEnd: isEnd)
    }

    func headers(_ fields: [(String, String)], on streamID: Int32, isEnd: Bool = false) {
        var block = ArraySlice(encode(fields))
        let first = block.prefix(16_384)
        block = block.dropFirst(16_384)
        send(.headers, flags: (isEnd ? 1 : 0) | (block.isEmpty ? 4 : 0), on: streamID, Array(first))
        while !block.isEmpty {
            let next = block.prefix(16_384)
            block = block.dropFirst(16_384)
            send(.continuation, flags: block.isEmpty ? 4 : 0, on: streamID, Array(next))
        }
    }

    /// Sends a body as far as the client's windows allow, the rest when they do.
    func body(_ bytes: [UInt8], on streamID: Int32, isEnd: Bool = true) {
        outgoing.append((streamID, bytes[...], isEnd))
        pump()
    }

    func answer(_ text: String, _ status: Int = 200, on streamID: Int32) {
        head(status, [("content-type", "text/plain")], on: streamID)
        body(Array(text.utf8), on: streamID)
    }

    func reset(_ streamID: Int32, code: UInt32) { send(.reset, on: streamID, bytes(code)) }

    func goAway(last: Int32, code: UInt32 = 0) { send(.goAway, bytes(UInt32(bitPattern: last)) + bytes(code)) }

    private func pump() {
        var blocked: [(streamID: Int32, bytes: ArraySlice<UInt8>, isEnd: Bool)] = []
        for var item in outgoing {
            guard !blocked.contains(where: { $0.streamID == item.streamID }) else {
                blocked.append(item)
                continue
            }
            var isDone = false
            repeat {
                let window = min(windows[item.streamID, default: initialWindow], windows[0, default: 0])
                let piece = item.bytes.prefix(min(16_384, max(0, window)))
                guard !piece.isEmpty || item.bytes.isEmpty else { break }
                item.bytes = item.bytes.dropFirst(piece.count)
                windows[item.streamID, default: initialWindow] -= piece.count
                windows[0, default: 0] -= piece.count
                sent[item.streamID, default: 0] += piece.count
                isDone = item.bytes.isEmpty
                send(.data, flags: isDone && item.isEnd ? 1 : 0, on: item.streamID, Array(piece))
            } while !isDone
            if !isDone { blocked.append(item) }
        }
        outgoing = blocked
    }

    private func bytes(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }
    private func bytes(_ value: UInt32) -> [UInt8] { bytes(UInt16(value >> 16)) + bytes(UInt16(value & 0xffff)) }

    private func encode(_ fields: [(String, String)]) -> [UInt8] {
        var storage: [[UInt8]] = fields.flatMap { [Array($0.0.utf8), Array($0.1.utf8)] }
        let capacity = storage.reduce(64) { $0 + $1.count + 16 }
        var block = [UInt8](repeating: 0, count: capacity)
        var pairs: [nghttp2_nv] = []
        var pointers: [UnsafeMutablePointer<UInt8>] = []
        for part in storage {
            let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: part.count + 1)
            for (index, byte) in part.enumerated() { copy[index] = byte }
            pointers.append(copy)
        }
        defer { for pointer in pointers { pointer.deallocate() } }
        for index in stride(from: 0, to: storage.count, by: 2) {
            pairs.append(
                nghttp2_nv(
                    name: pointers[index],
                    value: pointers[index + 1],
                    namelen: storage[index].count,
                    valuelen: storage[index + 1].count,
                    flags: 0
                )
            )
        }
        storage = []
        let count = nghttp2_hd_deflate_hd(deflater, &block, capacity, pairs, pairs.count)
        return Array(block.prefix(max(0, count)))
    }

    // MARK: Receiving

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        input.append(contentsOf: bytes)
        if !hasPreface {
            guard input.count >= 24 else { return }
            hasPreface = true
            input.removeFirst(24)
            server.didOpen(self)
        }
        while input.count >= 9 {
            let count = Int(input[0]) << 16 | Int(input[1]) << 8 | Int(input[2])
            guard input.count >= 9 + count else { return }
            let id = input[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            let (kind, flags) = (input[3], input[4])
            let payload = Array(input[9..<9 + count])
            input.removeFirst(9 + count)
            didRead(Kind(rawValue: kind), flags: flags, Int32(bitPattern: id & 0x7fff_ffff), payload)
        }
    }

    private func didRead(_ kind: Kind?, flags: UInt8, _ id: Int32, _ payload: [UInt8]) {
        func number(_ start: Int) -> UInt32 { payload[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) } }
        switch kind {
        case .headers:
            // nghttp2's client sends neither padding nor, unless asked, priorities, and our heads fit one frame.
            var request = HTTP2PeerRequest(streamID: id)
            request.fields = decode(payload)
            request.isEnded = flags & 1 != 0
            requests[id] = request
            order.append(id)
            server.onHead?(self, request)
            if request.isEnded { server.onRequest(self, request) }
        case .data:
            requests[id]?.body += payload
            if server.creditsRequests, !payload.isEmpty {
                send(.windowUpdate, bytes(UInt32(payload.count)))
                send(.windowUpdate, on: id, bytes(UInt32(payload.count)))
            }
            if flags & 1 != 0, var request = requests[id] {
                request.isEnded = true
                requests[id] = request
                server.onRequest(self, request)
            }
        case .reset:
            requests[id]?.resetCode = number(0)
            outgoing.removeAll { $0.streamID == id }
        case .settings where flags & 1 == 0:
            for start in stride(from: 0, to: payload.count, by: 6) where payload[start + 1] == 4 {
                initialWindow = Int(number(start + 2))
            }
            send(.settings, flags: 1)
        case .ping where flags & 1 == 0:
            pings += 1
            if server.answersPings { send(.ping, flags: 1, payload) }
        case .goAway:
            goAwayCode = number(4)
        case .windowUpdate:
            windows[id, default: initialWindow] += Int(number(0))
            pump()
        default:
            break
        }
    }

    private func decode(_ block: [UInt8]) -> [(name: String, value: String)] {
        var fields: [(String, String)] = []
        var rest = block[...]
        var flags: Int32 = 0
        while true {
            var pair = nghttp2_nv()
            let taken = rest.withUnsafeBufferPointer {
                nghttp2_hd_inflate_hd2(inflater, &pair, &flags, $0.baseAddress, $0.count, 1)
            }
            guard taken >= 0 else { break }
            rest = rest.dropFirst(taken)
            if UInt32(bitPattern: flags) & NGHTTP2_HD_INFLATE_EMIT.rawValue != 0 {
                func text(_ start: UnsafeMutablePointer<UInt8>?, _ count: Int) -> String {
                    String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
                }
                fields.append((text(pair.name, pair.namelen), text(pair.value, pair.valuelen)))
            }
            if UInt32(bitPattern: flags) & NGHTTP2_HD_INFLATE_FINAL.rawValue != 0 {
                nghttp2_hd_inflate_end_headers(inflater)
                break
            }
        }
        return fields
    }

    func streamDidDrain() {}
    func streamDidEnd(_ error: (any Error)?) {
        isEnded = true
        stream.close()
    }
}

/// A scripted HTTP/2 server: prior knowledge, or ALPN on TLS.
final class HTTP2Peer {
    private var listener: TCPListener?
    private let tls: TLSContext?
    let address: SocketAddress
    private(set) var links: [HTTP2PeerLink] = []
    /// The first SETTINGS; nil to send none.
    var settings: [(id: UInt16, value: UInt32)]? = []
    var creditsRequests = true
    var answersPings = true
    /// When the head of a request is there.
    var onHead: ((HTTP2PeerLink, HTTP2PeerRequest) -> Void)?
    /// When a whole request is there.
    var onRequest: (HTTP2PeerLink, HTTP2PeerRequest) -> Void

    init(
        _ loop: EventLoop,
        tls: TLSContext? = nil,
        onRequest: @escaping (HTTP2PeerLink, HTTP2PeerRequest) -> Void
    ) throws {
        self.tls = tls
        self.onRequest = onRequest
        var accept: (TCPStream) -> Void = { _ in }
        let listener = try TCPListener(loop, on: #require(SocketAddress("127.0.0.1:0")), sharesPort: false) {
            accept($0)
        }
        address = listener.address
        self.listener = listener
        accept = { [unowned self] stream in
            links.append(HTTP2PeerLink(self.tls?.accept(stream) ?? stream, self))
        }
    }

    func didOpen(_ link: HTTP2PeerLink) {
        if let settings { link.settings(settings) }
    }

    /// Stops listening and cuts what is open.
    func close() {
        listener?.close()
        listener = nil
        for link in links { link.stream.abort() }
        links = []
    }

    func stopListening() {
        listener?.close()
        listener = nil
    }
}
