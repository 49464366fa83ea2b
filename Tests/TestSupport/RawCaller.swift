package import Reactor

/// One end of a TCP connection that sends exactly what it is told, and keeps what comes back.
package final class RawCaller: ByteStreamHandler {
    package struct WaitedTooLong: Error { package let had: String }

    private let loop: EventLoop
    private let stream: TCPStream
    private var received: [UInt8] = []
    private let ended = Promise<Void>()
    private var hasEnded = false

    package init(_ loop: EventLoop, to address: SocketAddress) async throws {
        self.loop = loop
        stream = try await TCPStream.connect(loop, to: address, timeout: .seconds(30))
        stream.handler = self
        stream.setReading(true)
    }

    package func send(_ text: String) { stream.write([UInt8](text.utf8)) }
    package func close() { stream.close() }

    /// Everything that came until the other side has closed.
    package func rest() async throws -> String {
        if !hasEnded {
            let timer = loop.schedule(after: .seconds(90)) { [self] in
                guard !hasEnded else { return }
                hasEnded = true
                ended.fail(WaitedTooLong(had: text))
            }
            try await ended.wait()
            timer.stop()
        }
        return text
    }

    private var text: String { String(decoding: received, as: UTF8.self) }

    package func streamDidRead(_ bytes: UnsafeRawBufferPointer) { received.append(contentsOf: bytes) }
    package func streamDidDrain() {}
    package func streamDidEnd(_ error: (any Error)?) {
        guard !hasEnded else { return }
        hasEnded = true
        ended.succeed(())
    }
}

/// An HTTP/1.1 answer as it stood on the wire, when nothing follows it.
package struct RawAnswer {
    package let status: Int
    package let body: String
    private let fields: [(name: String, value: String)]

    /// - Returns: nil when the text is no answer.
    package init?(_ text: String) {
        var lines = text.split(separator: "\r\n", omittingEmptySubsequences: false)[...]
        let words = lines.popFirst()?.split(separator: " ") ?? []
        guard words.count >= 2, words[0] == "HTTP/1.1", let status = Int(words[1]),
            let blank = lines.firstIndex(of: "")
        else { return nil }
        self.status = status
        fields = lines[..<blank].compactMap { line in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            return (line[..<colon].lowercased(), String(value))
        }
        body = lines[(blank + 1)...].joined(separator: "\r\n")
    }

    package subscript(_ name: String) -> String? { fields.first { $0.name == name }?.value }
}
