import Reactor
import Testing

/// A peer on the test's own loop that says whatever a test wants.
final class FakeRedis {
    /// One accepted connection.
    final class Session: ByteStreamHandler {
        let stream: TCPStream
        private(set) var received: [UInt8] = []
        private(set) var reads = 0
        private let onRead: (Session) -> Void

        init(_ stream: TCPStream, _ onRead: @escaping (Session) -> Void) {
            self.stream = stream
            self.onRead = onRead
        }

        var text: String { String(decoding: received, as: UTF8.self) }
        func forget() { received = [] }

        func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
            received.append(contentsOf: bytes)
            reads += 1
            onRead(self)
        }
        func streamDidDrain() {}
        func streamDidEnd(_ error: (any Error)?) { stream.abort() }
    }

    private let listener: TCPListener
    let url: String
    private(set) var connections = 0

    /// - Parameter onRead: called when bytes came in.
    init(_ loop: EventLoop, _ onRead: @escaping (Session) -> Void) throws {
        var accepted: (() -> Void)?
        listener = try TCPListener(loop, on: #require(SocketAddress("127.0.0.1:0")), sharesPort: false) { stream in
            accepted?()
            stream.handler = Session(stream, onRead)
            stream.setReading(true)
        }
        url = "redis://\(listener.address)"
        accepted = { [unowned self] in connections += 1 }
    }

    /// Answers the greeting of a client without password or database: CLIENT SETNAME and PING.
    static func greet(_ session: Session) -> Bool {
        guard session.text.hasSuffix("$4\r\nPING\r\n") else { return false }
        session.forget()
        session.stream.write("+OK\r\n+PONG\r\n")
        return true
    }

    func close() { listener.close() }
}
