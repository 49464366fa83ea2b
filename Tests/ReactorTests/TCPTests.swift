import Reactor
import TestSupport
import Testing

@Suite("TCP on the loop")
struct TCPTests {
    /// Collects what arrives, and answers the end of the stream.
    final class Collector: ByteStreamHandler {
        var received: [UInt8] = []
        let ended = Promise<Void>()
        var onRead: (() -> Void)?
        func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
            received.append(contentsOf: bytes)
            onRead?()
        }
        func streamDidDrain() {}
        func streamDidEnd(_ error: (any Error)?) {
            if let error { ended.fail(error) } else { ended.succeed(()) }
        }
    }

    @Test("bytes arrive whole and in order, also when they exceed what the kernel takes at once")
    func roundTrip() async throws {
        let count = 8 * 1024 * 1024
        let received = try await onLoop { loop in
            var accepted: TCPStream?
            let collector = Collector()
            let listener = try TCPListener(
                loop,
                on: #require(SocketAddress("127.0.0.1:0")),
                sharesPort: false
            ) { stream in
                accepted = stream
                stream.handler = collector
                stream.setReading(true)
            }
            let client = try await TCPStream.connect(loop, to: listener.address, timeout: .seconds(30))
            client.write([UInt8]((0..<count).lazy.map { UInt8(truncatingIfNeeded: $0 &* 31) }))
            client.close()
            try await collector.ended.wait()
            accepted?.close()
            listener.close()
            return collector.received
        }
        #expect(received.count == count)
        #expect(received.indices.allSatisfy { received[$0] == UInt8(truncatingIfNeeded: $0 &* 31) })
    }

    @Test("a refused connection throws and leaves nothing open")
    func refused() async throws {
        try await onLoop { loop in
            let listener = try TCPListener(
                loop,
                on: #require(SocketAddress("127.0.0.1:0")),
                sharesPort: false
            ) { $0.abort() }
            let address = listener.address
            listener.close()
            await loop.sleep(.milliseconds(1))
            await #expect(throws: UVError.self) {
                _ = try await TCPStream.connect(loop, to: address, timeout: .seconds(30))
            }
        }
    }

    @Test("writing to a peer that is gone is an error of the connection, not the end of the process")
    func brokenPipe() async throws {
        try await onLoop { loop in
            var accepted: TCPStream?
            let listener = try TCPListener(loop, on: #require(SocketAddress("127.0.0.1:0")), sharesPort: false) {
                accepted = $0
            }
            let client = try await TCPStream.connect(loop, to: listener.address, timeout: .seconds(30))
            let collector = Collector()
            client.handler = collector
            while accepted == nil { await loop.sleep(.milliseconds(1)) }
            accepted?.abort()
            for _ in 0..<1000 where !collector.ended.isFulfilled {
                client.write("x")
                await loop.sleep(.milliseconds(1))
            }
            await #expect(throws: UVError.self) { try await collector.ended.wait() }
            listener.close()
        }
    }

    @Test("a slow reader still gets everything that was written before close, however long it takes")
    func slowReader() async throws {
        let count = 12 * 1024 * 1024
        let received = try await onLoop { loop in
            var accepted: TCPStream?
            let listener = try TCPListener(loop, on: #require(SocketAddress("127.0.0.1:0")), sharesPort: false) {
                accepted = $0
            }
            let client = try await TCPStream.connect(loop, to: listener.address, timeout: .seconds(30))
            while accepted == nil { await loop.sleep(.milliseconds(1)) }
            accepted?.write([UInt8](repeating: 7, count: count))
            accepted?.close()
            let collector = Collector()
            client.handler = collector
            // A piece a second: the whole takes longer than the limit on a peer that takes nothing.
            var wanted = 0
            collector.onRead = { if collector.received.count >= wanted { client.setReading(false) } }
            for _ in 0..<3 {
                wanted = collector.received.count + 2 * 1024 * 1024
                client.setReading(true)
                await loop.sleep(.seconds(1))
            }
            collector.onRead = nil
            client.setReading(true)
            try await collector.ended.wait()
            client.close()
            listener.close()
            return collector.received.count
        }
        #expect(received == count)
    }

    @Test("offloaded work runs elsewhere and its result comes back to the loop")
    func offload() async throws {
        let (worker, onLoopAfter) = try await onLoop { loop in
            let worker = await loop.offload { EventLoop.current == nil }
            return (worker, loop.isCurrent)
        }
        #expect(worker)
        #expect(onLoopAfter)
    }

    @Test("names resolve, numeric addresses too", arguments: ["localhost", "127.0.0.1"])
    func resolves(host: String) async throws {
        let found = try await onLoop { loop in try await loop.resolve(host, port: 80) }
        #expect(found.contains { $0.description == "127.0.0.1:80" || $0.description == "[::1]:80" })
    }
}

/// Notes when its turn ends, and adds another observer then.
private final class Noter: TurnEndObserver {
    let endsTurnFirst: Bool
    private let action: () -> Void

    init(first: Bool, _ action: @escaping () -> Void) {
        endsTurnFirst = first
        self.action = action
    }

    func turnDidEnd() { action() }
}

@Suite("The end of a turn")
struct TurnEndTests {
    @Test("those that go first go before all others, also those that they add themselves")
    func order() async throws {
        let order = try await onLoop { loop in
            var order: [String] = []
            let done = Promise<Void>()
            let stream = Noter(first: true) { order.append("first stream") }
            let connection = Noter(first: true) {
                order.append("first connection")
                loop.notifyAtTurnEnd(stream)
            }
            let other = Noter(first: false) { order.append("other") }
            let last = Noter(first: false) { done.succeed(()) }
            loop.notifyAtTurnEnd(other)
            loop.notifyAtTurnEnd(connection)
            loop.notifyAtTurnEnd(last)
            try await done.wait()
            return order
        }
        #expect(order == ["first connection", "first stream", "other"])
    }
}
