package import Reactor
package import TLS

/// A small proxy: SOCKS5 (RFC 1928, 1929) or HTTP CONNECT (RFC 9110, 9.3.6), with or without a password.
package final class TestProxy {
    package enum Kind: Sendable { case socks5, connect }

    private let loop: EventLoop
    private let kind: Kind
    private let tls: TLSContext?
    private var listener: TCPListener?
    private var tunnels: [Tunnel] = []
    package let address: SocketAddress
    /// Nil admits everybody.
    package var credentials: (username: String, password: String)?
    /// What clients asked to be connected to, `host:port`.
    package private(set) var targets: [String] = []
    /// Accepts and then says nothing.
    package var hangs = false

    package init(_ loop: EventLoop, _ kind: Kind, tls: TLSContext? = nil) throws {
        self.loop = loop
        self.kind = kind
        self.tls = tls
        var accept: (TCPStream) -> Void = { _ in }
        guard let anyPort = SocketAddress("127.0.0.1:0") else { throw ConnectError.noAddress }
        let listener = try TCPListener(loop, on: anyPort, sharesPort: false) { accept($0) }
        address = listener.address
        self.listener = listener
        accept = { [unowned self] stream in
            tunnels.append(Tunnel(self.tls?.accept(stream) ?? stream, self))
        }
    }

    package func close() {
        listener?.close()
        listener = nil
        for tunnel in tunnels { tunnel.close() }
        tunnels = []
    }

    /// One client's connection, and the one made for it.
    private final class Tunnel: ByteStreamHandler {
        private enum Phase { case greeting, password, request, connecting, open }
        private let client: any ByteStream
        private let proxy: TestProxy
        private var upstream: TCPStream?
        private var phase = Phase.greeting
        private var input: [UInt8] = []

        init(_ client: any ByteStream, _ proxy: TestProxy) {
            self.client = client
            self.proxy = proxy
            client.handler = self
            client.setReading(true)
        }

        func close() {
            client.abort()
            upstream?.abort()
        }

        func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
            if phase == .open {
                upstream?.write(bytes)
                return
            }
            input.append(contentsOf: bytes)
            guard !proxy.hangs else { return }
            switch proxy.kind {
            case .connect: readConnect()
            case .socks5: readSOCKS()
            }
        }

        func streamDidDrain() { upstream?.setReading(true) }

        func streamDidEnd(_ error: (any Error)?) { close() }

        private func readConnect() {
            let text = String(decoding: input, as: UTF8.self)
            guard phase == .greeting, text.hasSuffix("\r\n\r\n") else { return }
            let lines = text.split(separator: "\r\n")
            let words = lines.first?.split(separator: " ") ?? []
            guard words.count == 3, words[0] == "CONNECT" else {
                return refuse("HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n")
            }
            if let credentials = proxy.credentials {
                let expected = "Proxy-Authorization: Basic " + base64("\(credentials.username):\(credentials.password)")
                guard lines.contains(where: { $0 == expected }) else {
                    return refuse(
                        "HTTP/1.1 407 No\r\nproxy-authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n\r\n"
                    )
                }
            }
            connect(to: String(words[1])) { [client] isThere in
                client.write(
                    Array((isThere ? "HTTP/1.1 200 OK\r\nx-proxy: y\r\n\r\n" : "HTTP/1.1 502 No\r\n\r\n").utf8)
                )
            }
        }

        private func refuse(_ text: String) {
            client.write(Array(text.utf8))
            client.close()
        }

        private func readSOCKS() {
            switch phase {
            case .greeting:
                guard input.count >= 2, input.count >= 2 + Int(input[1]) else { return }
                let wanted: UInt8 = proxy.credentials == nil ? 0 : 2
                let isOffered = input[2..<2 + Int(input[1])].contains(wanted)
                input = []
                client.write([5, isOffered ? wanted : 0xff])
                phase = wanted == 0 ? .request : .password
            case .password:
                guard input.count >= 2, let credentials = proxy.credentials else { return }
                let nameEnd = 2 + Int(input[1])
                guard input.count > nameEnd, input.count >= nameEnd + 1 + Int(input[nameEnd]) else { return }
                let name = String(decoding: input[2..<nameEnd], as: UTF8.self)
                let password = String(decoding: input[(nameEnd + 1)...], as: UTF8.self)
                input = []
                let isRight = name == credentials.username && password == credentials.password
                client.write([1, isRight ? 0 : 1])
                phase = .request
                if !isRight { client.close() }
            case .request:
                guard input.count >= 5 else { return }
                let host: String
                let portStart: Int
                if input[3] == 3 {
                    portStart = 5 + Int(input[4])
                    guard input.count >= portStart + 2 else { return }
                    host = String(decoding: input[5..<portStart], as: UTF8.self)
                } else {
                    portStart = 8
                    guard input.count >= 10 else { return }
                    host = input[4..<8].map { String($0) }.joined(separator: ".")
                }
                let port = Int(input[portStart]) << 8 | Int(input[portStart + 1])
                connect(to: "\(host):\(port)") { [client] isThere in
                    client.write([5, isThere ? 0 : 5, 0, 1, 0, 0, 0, 0, 0, 0])
                }
            case .connecting, .open:
                break
            }
        }

        private func connect(to target: String, _ answer: @escaping (Bool) -> Void) {
            phase = .connecting
            input = []
            proxy.targets.append(target)
            let parts = target.split(separator: ":")
            let loop = proxy.loop
            loop.spawn { [self] in
                do {
                    let addresses = try await loop.resolve(String(parts[0]), port: UInt16(parts[1]) ?? 0)
                    guard let address = addresses.first(where: { $0.isIPv4 }) else { throw ConnectError.noAddress }
                    let upstream = try await TCPStream.connect(loop, to: address, timeout: .seconds(30))
                    upstream.handler = Return(client, upstream)
                    self.upstream = upstream
                    answer(true)
                    phase = .open
                    upstream.setReading(true)
                } catch {
                    answer(false)
                    client.close()
                }
            }
        }
    }

    /// The way back.
    private final class Return: ByteStreamHandler {
        private let client: any ByteStream
        private unowned let upstream: TCPStream
        init(_ client: any ByteStream, _ upstream: TCPStream) {
            self.client = client
            self.upstream = upstream
        }
        func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
            client.write(bytes)
            guard client.bufferedBytes > 1 << 18 else { return }
            upstream.setReading(false)
            client.notifyWhenDrained()
        }
        func streamDidDrain() {}
        func streamDidEnd(_ error: (any Error)?) { client.close() }
    }
}

private func base64(_ text: String) -> String {
    let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    let bytes = Array(text.utf8)
    var out = ""
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        let value = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
        for index in 0..<4 {
            out.append(index <= group.count ? digits[value >> (18 - 6 * index) & 63] : "=")
        }
    }
    return out
}
