import HTTPMessages
import HTTPServing
import Reactor
import Testing

struct WaitedTooLong: Error {
    var had: String
}

/// A server on a port of its own.
final class TestServer {
    let loop: EventLoop
    let server: HTTPServer
    let address: SocketAddress

    init(
        _ loop: EventLoop,
        limits configure: (inout HTTPServerLimits) -> Void = { _ in },
        handler: @escaping HTTPServer.Handler
    ) throws {
        self.loop = loop
        var limits = HTTPServerLimits()
        configure(&limits)
        server = HTTPServer(loop, limits: limits, handler: handler)
        address = try server.listen(on: #require(SocketAddress("127.0.0.1:0")))
    }

    func connect() async throws -> RawClient {
        RawClient(loop, try await TCPStream.connect(loop, to: address, timeout: .seconds(30)))
    }

    func stop() async { _ = await server.drain(deadline: .zero) }

    /// Waits, turn by turn, until `condition` holds.
    func until(_ what: String = "", _ condition: () -> Bool) async throws {
        let start = MonotonicTime.now
        while !condition() {
            if start.elapsed > .seconds(90) { throw WaitedTooLong(had: what) }
            await loop.sleep(.milliseconds(1))
        }
    }
}

/// A handler's answer that is written no faster than its caller takes it.
final class LargeAnswer {
    static let piece = [UInt8](repeating: 9, count: 16_384)
    let total: Int
    private(set) var written = 0
    /// The most that waited for the caller at a time.
    private(set) var mostPending = 0

    init(bytes total: Int) { self.total = total }

    func give(to exchange: ServerExchange) {
        exchange.startResponse(HTTPResponseHead(status: 200))
        exchange.onDrain = { [self] in pump(exchange) }
        pump(exchange)
    }

    private func pump(_ exchange: ServerExchange) {
        while written < total {
            exchange.write(Self.piece)
            written += Self.piece.count
            mostPending = max(mostPending, exchange.pendingBytes)
            if exchange.pendingBytes > 65_536 { return exchange.notifyWhenDrained() }
        }
        exchange.finish()
    }
}

/// The other end of a connection, byte by byte.
final class RawClient: ByteStreamHandler {
    let loop: EventLoop
    let stream: any ByteStream
    private(set) var received: [UInt8] = []
    private(set) var hasEnded = false
    private var waiting: (condition: (RawClient) -> Bool, promise: Promise<Void>)?

    init(_ loop: EventLoop, _ stream: any ByteStream) {
        self.loop = loop
        self.stream = stream
        stream.handler = self
        stream.setReading(true)
    }

    var text: String { String(decoding: received, as: UTF8.self) }

    func send(_ text: String) { stream.write([UInt8](text.utf8)) }
    func send(_ bytes: [UInt8]) { stream.write(bytes) }

    /// Waits until what was received satisfies `condition`.
    func wait(_ condition: @escaping (RawClient) -> Bool) async throws {
        guard !condition(self) else { return }
        let promise = Promise<Void>()
        waiting = (condition, promise)
        let timer = loop.schedule(after: .seconds(90)) { [unowned self] in
            promise.fail(WaitedTooLong(had: text))
        }
        try await promise.wait()
        timer.stop()
    }

    func wait(for text: String) async throws { try await wait { $0.text.contains(text) } }

    /// Everything until the server has closed.
    func rest() async throws -> String {
        try await wait { $0.hasEnded }
        return text
    }

    /// Sends a request and waits for an answer that says how long it is; the answer is taken out of what was received.
    func exchange(_ request: String) async throws -> Answer {
        send(request)
        return try await answer()
    }

    /// The next answer, which has a `content-length`.
    func answer() async throws -> Answer {
        try await wait { Answer($0.received) != nil }
        let answer = try #require(Answer(received))
        discard(answer.byteCount)
        return answer
    }

    func discard(_ count: Int) { received.removeFirst(count) }

    private func check() {
        guard let (condition, promise) = waiting, condition(self) else { return }
        waiting = nil
        promise.succeed(())
    }

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        received.append(contentsOf: bytes)
        check()
    }

    func streamDidDrain() {}

    func streamDidEnd(_ error: (any Error)?) {
        hasEnded = true
        check()
    }
}

struct Answer {
    var status: Int
    var head: String
    var body: String
    var byteCount: Int

    init?(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.range(of: "\r\n\r\n") else { return nil }
        head = String(text[..<end.lowerBound])
        let fields = head.split(separator: "\r\n")
        guard let first = fields.first, let status = Int(first.split(separator: " ")[1]) else { return nil }
        self.status = status
        let length = fields.compactMap { field -> Int? in
            let parts = field.split(separator: ":", maxSplits: 1)
            return parts.first == "content-length" ? Int(parts[1].drop { $0 == " " }) : nil
        }
        let headBytes = text[..<end.upperBound].utf8.count
        let bodyBytes = status < 200 ? 0 : length.first ?? 0
        guard bytes.count >= headBytes + bodyBytes else { return nil }
        body = String(decoding: bytes[headBytes..<(headBytes + bodyBytes)], as: UTF8.self)
        byteCount = headBytes + bodyBytes
    }
}

extension String {
    func range(of needle: String) -> Range<String.Index>? {
        let bytes = Array(utf8)
        let wanted = Array(needle.utf8)
        guard bytes.count >= wanted.count else { return nil }
        for start in 0...(bytes.count - wanted.count) where bytes[start..<(start + wanted.count)].elementsEqual(wanted)
        {
            let lower = utf8.index(utf8.startIndex, offsetBy: start)
            return lower..<utf8.index(lower, offsetBy: wanted.count)
        }
        return nil
    }
}

extension ServerExchange {
    func respond(_ status: Int, _ text: String) { respond(HTTPResponseHead(status: status), body: [UInt8](text.utf8)) }
    func write(_ text: String) { write([UInt8](text.utf8)) }
}

/// Bytes that are not the same everywhere, made without a loop of the test's own.
func patterned(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](0..<251)
    while bytes.count < count { bytes += bytes }
    bytes.removeLast(bytes.count - count)
    return bytes
}
