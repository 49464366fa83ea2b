import Reactor
import TLS
import TestSupport
import Testing

/// Collects what a stream delivers.
final class Collector: ByteStreamHandler {
    private(set) var received: [UInt8] = []
    private(set) var drains = 0
    let ended = Promise<Void>()
    var onRead: (() -> Void)?
    private var wanted: (count: Int, promise: Promise<Void>)?

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        received.append(contentsOf: bytes)
        onRead?()
        if let wanted, received.count >= wanted.count { wanted.promise.succeed(()) }
    }
    func streamDidDrain() { drains += 1 }
    func streamDidEnd(_ error: (any Error)?) {
        if let error { ended.fail(error) } else { ended.succeed(()) }
        wanted?.promise.fulfil(error.map { .failure($0) } ?? .success(()))
    }

    /// Waits until `count` bytes have come in all, or the stream has ended.
    func wait(for count: Int) async throws {
        guard received.count < count else { return }
        let promise = Promise<Void>()
        wanted = (count, promise)
        try await promise.wait()
    }

    /// How the stream ended: nil when in order.
    func endError() async -> (any Error)? {
        do {
            try await ended.wait()
            return nil
        } catch {
            return error
        }
    }
}

/// A stream that hands on what it reads in pieces of a given size, may damage it, and counts what is written.
final class Chopper: ByteStream, ByteStreamHandler {
    var handler: (any ByteStreamHandler)?
    let lower: any ByteStream
    private let size: Int
    /// Index of the read byte to be damaged.
    var damagedByte: Int?
    private var readCount = 0
    private(set) var writes: [Int] = []

    init(_ lower: any ByteStream, size: Int = .max) {
        self.lower = lower
        self.size = size
        lower.handler = self
    }

    var peer: SocketAddress { lower.peer }
    var bufferedBytes: Int { lower.bufferedBytes }
    var unacknowledgedBytes: Int { lower.unacknowledgedBytes }
    var negotiatedProtocol: String? { nil }
    func write(_ bytes: UnsafeRawBufferPointer) {
        writes.append(bytes.count)
        lower.write(bytes)
    }
    func setReading(_ isOn: Bool) { lower.setReading(isOn) }
    func notifyWhenDrained() { lower.notifyWhenDrained() }
    func close() {
        handler = nil
        lower.close()
    }
    func abort() {
        handler = nil
        lower.abort()
    }

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        var copy = Array(bytes)
        if let damagedByte, copy.indices.contains(damagedByte - readCount) { copy[damagedByte - readCount] ^= 0x55 }
        readCount += copy.count
        var rest = copy[...]
        while !rest.isEmpty {
            Array(rest.prefix(size)).withUnsafeBytes { handler?.streamDidRead($0) }
            rest = rest.dropFirst(size)
        }
    }
    func streamDidDrain() { handler?.streamDidDrain() }
    func streamDidEnd(_ error: (any Error)?) { handler?.streamDidEnd(error) }
}

/// A TLS server on loopback whose accepted streams can be waited for.
final class TLSPeer {
    let address: SocketAddress
    private var listener: TCPListener?
    private var arrived: [any ByteStream] = []
    private var waiting: Promise<any ByteStream>?
    /// Put between TCP and TLS.
    var wrap: (TCPStream) -> any ByteStream = { $0 }

    /// - Parameter context: nil for a server that speaks no TLS.
    init(_ loop: EventLoop, _ context: TLSContext?) throws {
        let any = try #require(SocketAddress("127.0.0.1:0"))
        var accept: (TCPStream) -> Void = { _ in }
        let listener = try TCPListener(loop, on: any, sharesPort: false) { accept($0) }
        address = listener.address
        self.listener = listener
        accept = { [unowned self] stream in
            let wrapped = wrap(stream)
            let accepted = context.map { $0.accept(wrapped) } ?? wrapped
            if let waiting {
                self.waiting = nil
                waiting.succeed(accepted)
            } else {
                arrived.append(accepted)
            }
        }
    }

    func next() async throws -> any ByteStream {
        if !arrived.isEmpty { return arrived.removeFirst() }
        let promise = Promise<any ByteStream>()
        waiting = promise
        return try await promise.wait()
    }

    func close() {
        listener?.close()
        listener = nil
    }
}

extension TLSContext {
    static func testServer(
        _ pair: (TestCertificates) -> TestCertificates.Pair = { $0.server },
        alpn: [String] = ["h2", "http/1.1"]
    ) throws -> TLSContext {
        let pair = try pair(TestCertificates.shared())
        return try server(certificateChainFile: pair.certificate, privateKeyFile: pair.key, alpn: alpn)
    }

    static func testClient(alpn: [String] = ["h2", "http/1.1"]) throws -> TLSContext {
        try client(alpn: alpn, authorityFile: TestCertificates.shared().authority.certificate)
    }
}

/// Bytes that repeat only after 64 KiB less one.
func pattern(_ count: Int) -> [UInt8] {
    let block = (0..<65_535).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + block.count)
    while bytes.count < count { bytes += block }
    return Array(bytes.prefix(count))
}
