import CNGHTTP2
import Glibc
import HTTPMessages
import HTTPServing
import Reactor
import TestSupport
import Testing

@Suite("HTTP/2 callers that hold the server up", .timeLimit(.minutes(15)))
struct HTTP2LimitTests {
    @Test("a header block that is not completed, or a preface, ends the connection", arguments: [true, false])
    func headTimeout(isPreface: Bool) async throws {
        try await onLoop { loop in
            let server = try TestServer(loop, limits: { $0.headerTimeout = .milliseconds(80) }) { $0.respond(200, "") }
            let client = try await server.connect()
            let start = MonotonicTime.now
            if isPreface {
                client.send([UInt8](http2Preface[..<10]))
            } else {
                client.send(http2Preface + frame(4) + frame(1, flags: 1, stream: 1, getBlock))
                await loop.sleep(.milliseconds(20))
                client.send([0, 0, 100, 9, 4, 0, 0, 0, 1])
                client.send([UInt8](repeating: 0x82, count: 10))
            }
            try await client.wait { $0.hasEnded }
            #expect(start.elapsed >= .milliseconds(80))
            #expect(server.server.openConnections == 0)
            await server.stop()
        }
    }

    @Test("a connection without streams ends after the keep-alive time, PINGs notwithstanding")
    func idleTimeout() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop, limits: { $0.keepAliveTimeout = .milliseconds(400) }) { exchange in
                await loop.sleep(.milliseconds(600))
                exchange.respond(200, "ok")
            }
            let client = try await server.connectHTTP2()
            #expect(try await client.get("/").text == "ok")
            let start = MonotonicTime.now
            while !client.hasEnded, start.elapsed < .seconds(5) {
                client.ping()
                await loop.sleep(.milliseconds(10))
            }
            #expect(client.hasEnded)
            #expect(start.elapsed >= .milliseconds(350))
            #expect(client.goaways.map { $0.code } == [0])
            await server.stop()
        }
    }

    @Test("a body that pauses, or trickles without end, is 408", arguments: [true, false])
    func bodyTimeouts(trickles: Bool) async throws {
        try await onLoop { loop in
            var errors: [RequestBodyError] = []
            let server = try TestServer(
                loop,
                limits: {
                    $0.bodyIdleTimeout = .milliseconds(trickles ? 300 : 60)
                    $0.bodyTimeout = .milliseconds(trickles ? 100 : 5000)
                }
            ) { exchange in
                do { _ = try await exchange.collectBody(limit: 100_000) } catch {
                    if let error = error as? RequestBodyError { errors.append(error) }
                }
            }
            let client = try await server.connectHTTP2()
            let start = MonotonicTime.now
            let id = client.request("/", method: "POST", body: [1], isLast: false)
            while trickles, errors.isEmpty, start.elapsed < .seconds(5) {
                client.send([1], on: id)
                await loop.sleep(.milliseconds(5))
            }
            #expect(try await client.response(id).status == 408)
            #expect(start.elapsed >= .milliseconds(60))
            #expect(errors == [.timedOut])
            await server.stop()
        }
    }

    @Test("a stream whose caller takes nothing is given up; the connection goes on")
    func writeStall() async throws {
        try await onLoop { loop in
            var gone = 0
            let server = try TestServer(loop, limits: { $0.writeStallTimeout = .milliseconds(100) }) { exchange in
                guard exchange.request.target == "/big" else { return exchange.respond(200, "small") }
                exchange.onCallerGone = { gone += 1 }
                exchange.startResponse(HTTPResponseHead(status: 200))
                exchange.write([UInt8](repeating: 1, count: 100_000))
            }
            let client = try await server.connectHTTP2(streamWindow: 1000)
            client.creditsStreams = false
            let start = MonotonicTime.now
            let response = try await client.get("/big")
            #expect(start.elapsed >= .milliseconds(100))
            #expect(response.closeCode == NGHTTP2_CANCEL.rawValue)
            #expect(gone == 1)
            #expect(try await client.get("/").text == "small")
            await server.stop()
        }
    }

    enum Brake: CaseIterable { case socket, connectionWindow }

    @Test(
        "streams that wait for their turn on a connection that moves slowly are not given up",
        arguments: Brake.allCases
    )
    func slowConnection(by brake: Brake) async throws {
        try await onLoop { loop in
            let server = try TestServer(loop, limits: { $0.writeStallTimeout = .seconds(3) }) { exchange in
                exchange.respond(HTTPResponseHead(status: 200), body: [UInt8](repeating: 0xee, count: 200_000))
            }
            let client = try SlowSocket(server.address)
            defer { client.close() }
            client.send(http2Preface + (brake == .socket ? endlessWindow : endlessStreamWindows))
            for stream in 0..<96 { client.send(frame(1, flags: 5, stream: UInt32(2 * stream + 1), getBlock)) }
            // So little that neither a third of the kernel's buffer gets free nor each stream has its turn within the time.
            let start = MonotonicTime.now
            while start.elapsed < .seconds(7) {
                if brake == .connectionWindow { client.send(frame(8, [0, 0, 0x40, 0])) }
                client.receive(atMost: 16_384)
                await loop.sleep(.milliseconds(50))
            }
            if brake == .connectionWindow { client.send(frame(8, [0x7f, 0, 0, 0])) }
            var frames = FrameReader()
            while frames.ended < 96, !client.hasEnded, start.elapsed < .seconds(60) {
                client.receive(atMost: 1 << 20)
                frames.read(client.received)
                await loop.sleep(.zero)
            }
            #expect(frames.resets == 0)
            #expect(frames.ended == 96)
            #expect(frames.counts[0xee] == 96 * 200_000)
            await server.stop()
        }
    }

    @Test("a stream that is given up while its frame waits for the connection leaves the other frames whole")
    func stallOfQueuedFrame() async throws {
        try await onLoop { loop in
            var (started, gone) = (0, 0)
            let server = try TestServer(loop, limits: { $0.writeStallTimeout = .seconds(2) }) { exchange in
                started += 1
                exchange.onCallerGone = { gone += 1 }
                exchange.startResponse(HTTPResponseHead(status: 200))
                exchange.write([UInt8](repeating: 0xee, count: 500_000))
            }
            let client = try SlowSocket(server.address)
            defer { client.close() }
            client.send(http2Preface + endlessWindow)
            // More than the kernel takes from somebody who does not read: a frame that it has not taken waits.
            for stream in 0..<48 { client.send(frame(1, flags: 5, stream: UInt32(2 * stream + 1), getBlock)) }
            try await server.until { started == 48 }
            // The leave to send is taken back (RFC 9113, 6.9.2), while the connection moves on.
            client.send(frame(4, [0, 4, 0, 0, 0, 0]))
            let start = MonotonicTime.now
            while gone < 48, !client.hasEnded, start.elapsed < .seconds(30) {
                client.receive(atMost: 16_384)
                await loop.sleep(.milliseconds(50))
            }
            #expect(gone == 48)
            var frames = FrameReader()
            while frames.resets < 48, !client.hasEnded, start.elapsed < .seconds(60) {
                client.receive(atMost: 1 << 20)
                frames.read(client.received)
                await loop.sleep(.zero)
            }
            #expect(!client.hasEnded)
            #expect(frames.resets == 48)
            #expect(Array(frames.counts.keys) == [0xee])
            await server.stop()
        }
    }

    @Test("a connection whose caller takes nothing is given up")
    func connectionStall() async throws {
        try await onLoop { loop in
            var gone = 0
            let server = try TestServer(loop, limits: { $0.writeStallTimeout = .milliseconds(200) }) { exchange in
                exchange.onCallerGone = { gone += 1 }
                exchange.startResponse(HTTPResponseHead(status: 200))
                exchange.write([UInt8](repeating: 1, count: 30_000_000))
            }
            let client = try await server.connect()
            // A window without end, and nobody who reads.
            client.send(http2Preface + endlessWindow)
            client.send(frame(1, flags: 5, stream: 1, getBlock))
            client.stream.setReading(false)
            try await server.until { gone == 1 && server.server.openConnections == 0 }
            await server.stop()
        }
    }

    static let floodFrames: [(String, [UInt8])] = [
        ("PING", frame(6, [0, 0, 0, 0, 0, 0, 0, 0])),
        ("SETTINGS", frame(4)),
        ("PRIORITY", frame(2, stream: 3, [0, 0, 0, 0, 1])),
        ("unknown frames", frame(0x42)),
    ]

    @Test("floods of frames that cost the caller nothing end the connection", arguments: floodFrames)
    func floods(name: String, flood: [UInt8]) async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { $0.respond(200, "") }
            let client = try await server.connect()
            client.send(http2Preface + frame(4))
            for _ in 0..<200 {
                // Unknown frames are ignored (RFC 9113, 5.5) and cost no more than the bytes of any other frame.
                client.send([UInt8]((0..<100).flatMap { _ in flood }))
                await loop.sleep(.zero)
                if client.hasEnded { break }
            }
            if name == "unknown frames" {
                #expect(!client.hasEnded)
            } else {
                try await client.wait { $0.hasEnded }
                #expect(goawayCode(client.received) == NGHTTP2_ENHANCE_YOUR_CALM.rawValue, "\(name)")
            }
            await server.stop()
        }
    }

    @Test("a body that has arrived early is held to its handler's limit, complete or not", arguments: [true, false])
    func earlyBody(isLast: Bool) async throws {
        try await onLoop { loop in
            let isThere = Promise<Void>()
            let server = try TestServer(loop) { exchange in
                guard exchange.request.path == "/body" else { return exchange.respond(200, "") }
                try? await isThere.wait()
                _ = try? await exchange.collectBody(limit: 100)
            }
            let client = try await server.connectHTTP2()
            let body = [UInt8](repeating: 1, count: 101)
            let id = client.request("/body", method: "POST", body: body, isLast: isLast)
            // Answered after the body was read: it came later on the same connection.
            #expect(try await client.get("/").status == 200)
            isThere.succeed(())
            #expect(try await client.response(id).status == 413)
            await server.stop()
        }
    }

    @Test("empty DATA frames that end nothing are a flood, padded or not", arguments: [true, false])
    func emptyData(isPadded: Bool) async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in _ = try? await exchange.collectBody(limit: 10) }
            let client = try await server.connect()
            client.send(http2Preface + frame(4) + frame(1, flags: 4, stream: 1, getBlock))
            let empty = isPadded ? frame(0, flags: 8, stream: 1, [3, 0, 0, 0]) : frame(0, stream: 1)
            client.send([UInt8]((0..<1000).flatMap { _ in empty }))
            try await client.wait { $0.hasEnded }
            #expect(goawayCode(client.received) == NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
            await server.stop()
        }
    }

    enum Resetting: CaseIterable {
        case caller
        /// By the server, whom a fault forces to (CVE-2025-8671).
        case badField, windowOverflow
    }

    @Test("streams opened and reset at once end the connection before they cost much", arguments: Resetting.allCases)
    func rapidReset(by cause: Resetting) async throws {
        try await onLoop { loop in
            var started = 0
            let server = try TestServer(loop) { exchange in
                started += 1
                _ = try? await exchange.collectBody(limit: 10)
            }
            let client = try await server.connect()
            client.send(http2Preface + frame(4))
            var stream: UInt32 = 1
            while stream < 10_000, !client.hasEnded {
                var block: [UInt8] = []
                for _ in 0..<50 {
                    switch cause {
                    case .caller:
                        block += frame(1, flags: 5, stream: stream, getBlock) + frame(3, stream: stream, [0, 0, 0, 8])
                    case .badField:
                        block += frame(1, flags: 5, stream: stream, getBlock + [0, 1, 0x58, 1, 0x61])
                    case .windowOverflow:
                        block += frame(1, flags: 4, stream: stream, getBlock)
                        block += frame(8, stream: stream, [0x7f, 0xff, 0xff, 0xff])
                    }
                    stream += 2
                }
                client.send(block)
                await loop.sleep(.zero)
            }
            try await client.wait { $0.hasEnded }
            #expect(goawayCode(client.received) == NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
            #expect(started <= 700)
            #expect(server.server.openExchanges == 0)
            await server.stop()
        }
    }

    @Test("endless CONTINUATION ends the connection")
    func continuations() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { $0.respond(200, "") }
            let client = try await server.connect()
            client.send(http2Preface + frame(4) + frame(1, flags: 1, stream: 1, getBlock))
            for _ in 0..<10_000 where !client.hasEnded {
                client.send(frame(9, stream: 1, [0, 1, 0x78, 1, 0x79]))
                await loop.sleep(.zero)
            }
            #expect(client.hasEnded)
            await server.stop()
        }
    }

    @Test("a small header block that unpacks into a huge one ends the connection")
    func headerBomb() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { $0.respond(200, "") }
            let client = try await server.connect()
            // A 4,000-byte field put into the table once (literal with indexing), then named 10,000 times by one byte.
            let value = [UInt8](repeating: 0x61, count: 4000)
            let field: [UInt8] = [0x40, 1, 0x78, 0x7f, 0xa1, 0x1e] + value
            client.send(http2Preface + frame(4))
            client.send(frame(1, flags: 5, stream: 1, getBlock + field + [UInt8](repeating: 0xbe, count: 10_000)))
            try await client.wait { $0.hasEnded }
            #expect(server.server.openExchanges == 0)
            await server.stop()
        }
    }

    @Test("more streams at once than were offered are refused, and the rest is served")
    func concurrentStreams() async throws {
        try await onLoop { loop in
            var most = 0
            var running = 0
            let go = Promise<Void>()
            let server = try TestServer(loop, limits: { $0.concurrentStreams = 5 }) { exchange in
                running += 1
                most = max(most, running)
                while !go.isFulfilled { await loop.sleep(.milliseconds(1)) }
                running -= 1
                exchange.respond(200, "ok")
            }
            let client = try await server.connect()
            client.send(http2Preface + frame(4))
            client.send([UInt8]((0..<8).flatMap { frame(1, flags: 5, stream: UInt32(1 + 2 * $0), getBlock) }))
            try await server.until { running == 5 }
            await loop.sleep(.milliseconds(10))
            go.succeed(())
            try await server.until { running == 0 }
            #expect(most == 5)
            await server.stop()
        }
    }

    @Test("what is not HTTP/2 after the preface ends the connection with a GOAWAY")
    func garbage() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { $0.respond(200, "") }
            for garbage in [
                frame(1, flags: 4, stream: 2, getBlock), frame(0, stream: 0, [1]), frame(4, stream: 1),
                frame(1, flags: 4, stream: 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
                [0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0],
                frame(6, [1]), frame(5, flags: 4, stream: 1, [0, 0, 0, 2]),
            ] {
                let client = try await server.connect()
                client.send(http2Preface + frame(4) + garbage)
                try await client.wait { $0.hasEnded }
                #expect(goawayCode(client.received) != nil)
            }
            #expect(server.server.openConnections == 0)
            await server.stop()
        }
    }

    @Test("two names for the host are refused unless they are the same", arguments: ["a", "b"])
    func ambiguousHost(host: String) async throws {
        try await onLoop { loop in
            var seen: [String] = []
            let server = try TestServer(loop) { exchange in
                seen += exchange.request.headers.values("host")
                exchange.respond(200, "taken")
            }
            let client = try await server.connect()
            let field: [UInt8] = [0, 4] + [UInt8]("host".utf8) + [1] + [UInt8](host.utf8)
            client.send(http2Preface + frame(4) + frame(1, flags: 5, stream: 1, getBlock + field))
            try await client.wait(for: host == "a" ? "taken" : "Bad Request")
            #expect(seen == (host == "a" ? ["a"] : []))
            await server.stop()
        }
    }

    @Test("draining says GOAWAY twice, takes what is on its way, and drops no stream")
    func drains() async throws {
        try await onLoop { loop in
            var kept: [ServerExchange] = []
            let server = try TestServer(loop) { exchange in
                kept.append(exchange)
                exchange.startResponse(HTTPResponseHead(status: 200))
            }
            let idle = try await server.connectHTTP2()
            let client = try await server.connect()
            client.send(http2Preface + frame(4) + frame(1, flags: 5, stream: 1, getBlock))
            try await server.until { kept.count == 1 && server.server.openConnections == 2 }
            var result: Bool?
            loop.spawn { result = await server.server.drain(deadline: .seconds(20)) }
            try await idle.wait { $0.hasEnded }
            #expect(idle.goaways.map { $0.code } == [0])
            try await client.wait { goaways($0.received).count == 1 }
            // On its way when the first GOAWAY was sent.
            client.send(frame(1, flags: 5, stream: 3, getBlock))
            try await server.until { kept.count == 2 }
            try await client.wait { goaways($0.received).count == 2 }
            #expect(goaways(client.received).map { $0.last } == [0x7fff_ffff, 3])
            #expect(goaways(client.received).map { $0.code } == [0, 0])
            #expect(result == nil)
            for exchange in kept {
                exchange.write("all of it")
                exchange.finish()
            }
            try await client.wait { $0.hasEnded }
            #expect(client.text.split(separator: "all of it", omittingEmptySubsequences: false).count == 3)
            try await server.until { result != nil }
            #expect(result == true)
            #expect(server.server.openConnections == 0)
            #expect(server.server.openExchanges == 0)
        }
    }
}

/// The GOAWAYs among received frames.
func goaways(_ bytes: [UInt8]) -> [(last: UInt32, code: UInt32)] {
    var found: [(last: UInt32, code: UInt32)] = []
    var index = 0
    while index + 9 <= bytes.count {
        let count = Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8 | Int(bytes[index + 2])
        let payload = index + 9
        if bytes[index + 3] == 7, payload + 8 <= bytes.count {
            func number(_ start: Int) -> UInt32 { bytes[start..<(start + 4)].reduce(0) { $0 << 8 | UInt32($1) } }
            found.append((number(payload), number(payload + 4)))
        }
        index = payload + count
    }
    return found
}

func goawayCode(_ bytes: [UInt8]) -> UInt32? { goaways(bytes).last?.code }

/// Leave to send as much as there is, on every stream.
private let endlessStreamWindows = frame(4, [0, 4, 0x7f, 0xff, 0xff, 0xff])
/// The same, and on the connection.
private let endlessWindow = endlessStreamWindows + frame(8, [0x7f, 0xff, 0, 0])

/// What the frames say that a caller has received of many streams at once.
private struct FrameReader {
    /// How often each byte stood in DATA frames.
    private(set) var counts: [UInt8: Int] = [:]
    private(set) var resets = 0
    /// Streams that ended in order.
    private(set) var ended = 0
    private var place = 0

    /// - Parameter received: all bytes since the connection began.
    mutating func read(_ received: [UInt8]) {
        while place + 9 <= received.count {
            let head = received[place..<place + 9]
            let payload = place + 9..<place + 9 + head.prefix(3).reduce(0) { $0 << 8 | Int($1) }
            guard payload.upperBound <= received.count else { return }
            place = payload.upperBound
            switch head[head.startIndex + 3] {
            case 0:
                if head[head.startIndex + 4] & 1 != 0 { ended += 1 }
                for byte in received[payload] { counts[byte, default: 0] += 1 }
            case 3: resets += 1
            default: break
            }
        }
    }
}

/// A caller that takes no more than it is told to, of which the kernel keeps little.
private final class SlowSocket {
    private let file: Int32
    private(set) var received: [UInt8] = []
    private(set) var hasEnded = false

    init(_ address: SocketAddress) throws {
        file = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var room: Int32 = 262_144
        setsockopt(file, SOL_SOCKET, SO_RCVBUF, &room, socklen_t(MemoryLayout<Int32>.size))
        let file = file
        try #require(address.withSockaddr { connect(file, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) } == 0)
    }

    func send(_ bytes: [UInt8]) { _ = Glibc.send(file, bytes, bytes.count, 0) }

    func receive(atMost most: Int) {
        var bytes = [UInt8](repeating: 0, count: most)
        let count = recv(file, &bytes, most, Int32(MSG_DONTWAIT))
        if count > 0 { received += bytes[..<count] }
        if count == 0 { hasEnded = true }
    }

    func close() { _ = Glibc.close(file) }
}
