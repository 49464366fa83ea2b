import HTTPFetching
import HTTPMessages
import Reactor
import TLS
import TestSupport
import Testing

/// Runs `body` with a client on a loop, then checks that nothing of it is left: no connection, no exchange.
func fetching<Value: Sendable>(
    _ options: HTTPClient.Options = .init(),
    _ body: @escaping @Sendable (EventLoop, HTTPClient) async throws -> Value
) async throws -> Value {
    try await onLoop { loop in
        let client = try HTTPClient(loop, options: options)
        let outcome: Result<Value, any Error>
        do {
            outcome = .success(try await body(loop, client))
        } catch {
            outcome = .failure(error)
        }
        client.close()
        await loop.wait { client.openConnections == 0 && client.openExchanges == 0 }
        #expect(client.openConnections == 0)
        #expect(client.openExchanges == 0)
        return try outcome.get()
    }
}

extension EventLoop {
    /// Waits until the condition holds, at most a minute.
    func wait(for condition: () -> Bool) async {
        let start = MonotonicTime.now
        while !condition(), start.elapsed < .seconds(60) { await sleep(.milliseconds(1)) }
    }

    /// Starts a child whose result can be waited for.
    func start<Value>(_ operation: @escaping () async throws -> Value) -> Promise<Value> {
        let promise = Promise<Value>()
        spawn {
            do {
                promise.succeed(try await operation())
            } catch {
                promise.fail(error)
            }
        }
        return promise
    }
}

extension FetchRequest {
    static func get(_ address: SocketAddress, _ wire: Endpoint.WireProtocol, _ path: String = "/") -> FetchRequest {
        FetchRequest(
            to: Endpoint(isTLS: false, host: address.ip, port: address.port, wireProtocol: wire),
            HTTPRequestHead(method: "GET", target: path)
        )
    }

    static func post(
        _ address: SocketAddress,
        _ wire: Endpoint.WireProtocol,
        _ path: String = "/",
        body: [UInt8]
    ) -> FetchRequest {
        FetchRequest(
            to: Endpoint(isTLS: false, host: address.ip, port: address.port, wireProtocol: wire),
            HTTPRequestHead(method: "POST", target: path, headers: ["content-type": "application/json"]),
            body: body
        )
    }
}

extension FetchResponse {
    func text(limit: Int = 1 << 24) async throws -> String {
        String(decoding: try await collect(limit: limit), as: UTF8.self)
    }
}

extension HTTPClient {
    /// The error that sending and reading ends with.
    func failure(of request: FetchRequest) async -> FetchError? {
        do {
            _ = try await send(request).collect(limit: 1 << 24)
            return nil
        } catch {
            return error as? FetchError
        }
    }
}

/// A reader that keeps what it gets.
final class Reading {
    private(set) var bytes: [UInt8] = []
    private(set) var pieces = 0
    private(set) var ends: [FetchError?] = []
    var onData: (() -> Void)?

    init(_ response: FetchResponse) {
        response.consume { [self] piece in
            bytes.append(contentsOf: piece)
            pieces += 1
            onData?()
        } onEnd: { [self] in
            ends.append($0)
        }
    }

    var isEnded: Bool { !ends.isEmpty }
    var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// Bytes that repeat only after 64 KiB less one.
func pattern(_ count: Int) -> [UInt8] {
    let block = (0..<65_535).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + block.count)
    while bytes.count < count { bytes += block }
    return Array(bytes.prefix(count))
}

/// Asks an HTTP/1.1 upstream for more than all buffers hold: it must wait while nobody reads and while the reader pauses,
/// and everything must arrive in the end.
func expectPacing(_ loop: EventLoop, _ send: (SocketAddress) async throws -> FetchResponse) async throws {
    let whole = pattern(24 << 20)
    let peer = try HTTP1Peer(loop) { link, _ in
        link.send("HTTP/1.1 200 OK\r\ncontent-length: \(whole.count)\r\n\r\n")
        link.stream.write(whole)
    }
    defer { peer.close() }
    let response = try await send(peer.address)
    let link = try #require(peer.links.first)
    await loop.sleep(.milliseconds(50))
    #expect(link.stream.bufferedBytes > 0)
    let reading = Reading(response)
    response.setPaused(true)
    reading.onData = { response.setPaused(true) }
    for _ in 0..<3 {
        let read = reading.bytes.count
        await loop.sleep(.milliseconds(10))
        #expect(reading.bytes.count == read)
        response.setPaused(false)
        await loop.wait { reading.bytes.count > read }
    }
    #expect(link.stream.bufferedBytes > 0)
    reading.onData = nil
    response.setPaused(false)
    await loop.wait { reading.isEnded }
    #expect(reading.bytes == whole)
    #expect(reading.ends == [nil])
}
