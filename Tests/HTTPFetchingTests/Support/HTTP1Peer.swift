import Reactor
import TLS
import Testing

/// A request as a scripted HTTP/1.1 server has read it.
struct HTTP1PeerRequest {
    /// Request line and fields, without the empty line.
    let head: String
    var body: [UInt8]

    var path: String { head.split(separator: " ").dropFirst().first.map(String.init) ?? "" }
    var lines: [String] { head.split(separator: "\r\n").map(String.init) }
}

/// One connection of a scripted HTTP/1.1 server.
final class HTTP1PeerLink: ByteStreamHandler {
    let stream: any ByteStream
    private let server: HTTP1Peer
    private var input: [UInt8] = []
    private(set) var requests: [HTTP1PeerRequest] = []
    private(set) var isEnded = false

    init(_ stream: any ByteStream, _ server: HTTP1Peer) {
        self.stream = stream
        self.server = server
        stream.handler = self
        stream.setReading(true)
    }

    func send(_ text: String) { stream.write(Array(text.utf8)) }

    func answer(_ text: String, _ status: Int = 200) {
        send("HTTP/1.1 \(status) X\r\ncontent-length: \(text.utf8.count)\r\n\r\n\(text)")
    }

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        input.append(contentsOf: bytes)
        while let end = endOfHead() {
            let head = String(decoding: input[..<end], as: UTF8.self)
            let length =
                head.lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
                .flatMap { Int($0.split(separator: " ").last ?? "") } ?? 0
            guard input.count >= end + 4 + length else {
                server.onPartialRequest?(self, head)
                return
            }
            let request = HTTP1PeerRequest(head: head, body: Array(input[(end + 4)..<(end + 4 + length)]))
            input.removeFirst(end + 4 + length)
            requests.append(request)
            server.onRequest(self, request)
        }
    }

    private func endOfHead() -> Int? {
        guard input.count >= 4 else { return nil }
        return (0...(input.count - 4)).first { Array(input[$0..<$0 + 4]) == [13, 10, 13, 10] }
    }

    func streamDidDrain() {}
    func streamDidEnd(_ error: (any Error)?) {
        isEnded = true
        stream.close()
    }
}

/// A scripted HTTP/1.1 server.
final class HTTP1Peer {
    private var listener: TCPListener?
    private let tls: TLSContext?
    let address: SocketAddress
    private(set) var links: [HTTP1PeerLink] = []
    var onRequest: (HTTP1PeerLink, HTTP1PeerRequest) -> Void
    /// When a head is there whose body is still to come; called for each piece.
    var onPartialRequest: ((HTTP1PeerLink, String) -> Void)?
    var onAccept: ((HTTP1PeerLink) -> Void)?
    var onTCP: ((TCPStream) -> Void)?

    init(
        _ loop: EventLoop,
        tls: TLSContext? = nil,
        on address: String = "127.0.0.1:0",
        onRequest: @escaping (HTTP1PeerLink, HTTP1PeerRequest) -> Void
    ) throws {
        self.tls = tls
        self.onRequest = onRequest
        var accept: (TCPStream) -> Void = { _ in }
        let listener = try TCPListener(loop, on: #require(SocketAddress(address)), sharesPort: false) { accept($0) }
        self.address = listener.address
        self.listener = listener
        accept = { [unowned self] stream in
            onTCP?(stream)
            let link = HTTP1PeerLink(self.tls?.accept(stream) ?? stream, self)
            links.append(link)
            onAccept?(link)
        }
    }

    var requests: [HTTP1PeerRequest] { links.flatMap(\.requests) }

    func close() {
        listener?.close()
        listener = nil
        for link in links { link.stream.abort() }
        links = []
    }
}
