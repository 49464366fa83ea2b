import Reactor
import Testing

/// Stands between a worker and its Redis, and can lose what Redis answers.
final class RedisRelay {
    private let loop: EventLoop
    private let target: SocketAddress
    private var listener: TCPListener?
    private var pairs: [Pair] = []
    private(set) var port: UInt16 = 0
    /// Bytes that Redis answered while answers are lost.
    private(set) var lost = 0
    var losesAnswers = false

    init(_ loop: EventLoop, port: UInt16) throws {
        self.loop = loop
        target = try #require(SocketAddress("127.0.0.1:\(port)"))
        let listener = try TCPListener(loop, on: #require(SocketAddress("127.0.0.1:0")), sharesPort: false) {
            [unowned self] stream in
            loop.spawn { [self] in
                guard let other = try? await TCPStream.connect(loop, to: target, timeout: .seconds(2)) else {
                    return stream.abort()
                }
                pairs.append(Pair(self, stream, other))
            }
        }
        self.listener = listener
        self.port = listener.address.port
    }

    /// Breaks all connections and carries answers again.
    func cut() {
        for pair in pairs { pair.end() }
        pairs = []
        losesAnswers = false
        lost = 0
    }

    func stop() {
        cut()
        listener?.close()
        listener = nil
    }

    private final class Pair {
        private let worker: TCPStream
        private let redis: TCPStream
        private var ends: [End] = []

        init(_ relay: RedisRelay, _ worker: TCPStream, _ redis: TCPStream) {
            self.worker = worker
            self.redis = redis
            let requests = End {
                redis.write($0)
            } onEnd: {
                redis.abort()
            }
            let answers = End { [weak relay] bytes in
                if relay?.losesAnswers == true {
                    relay?.lost += bytes.count
                } else {
                    worker.write(bytes)
                }
            } onEnd: {
                worker.abort()
            }
            ends = [requests, answers]
            worker.handler = requests
            redis.handler = answers
            worker.setReading(true)
            redis.setReading(true)
        }

        func end() {
            worker.abort()
            redis.abort()
        }
    }

    private final class End: ByteStreamHandler {
        private let onData: ([UInt8]) -> Void
        private let onEnd: () -> Void

        init(_ onData: @escaping ([UInt8]) -> Void, onEnd: @escaping () -> Void) {
            self.onData = onData
            self.onEnd = onEnd
        }

        func streamDidRead(_ bytes: UnsafeRawBufferPointer) { onData(Array(bytes)) }
        func streamDidDrain() {}
        func streamDidEnd(_ error: (any Error)?) { onEnd() }
    }
}
