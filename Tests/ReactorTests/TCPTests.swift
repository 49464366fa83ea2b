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
            let client = try await TCPStream.connect(loop, to: listener.address, timeout: .seconds(5))
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
                _ = try await TCPStream.connect(loop, to: address, timeout: .seconds(5))
            }
        }
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
