import HTTPMessages
import Reactor
import TestSupport

@testable import HTTPFetching

/// The client's side of HTTP/2 with whatever an upstream may send: every exchange must end, once, and nothing be left.
///
/// The input's first byte says how the answers are read beside where they are cut.
final class ClientTarget: @unchecked Sendable {
    static let shared = ClientTarget()

    private let thread: LoopThread
    // Touched on the loop's thread only.
    private var core: ClientCore?

    private init() {
        do { thread = try LoopThread(name: "fuzz") } catch { fatalError("\(error)") }
    }

    func feed(_ input: [UInt8]) { thread.finish { await self.run(input) } }

    private func run(_ input: [UInt8]) async {
        let loop = thread.loop
        let core = self.core ?? Self.makeCore(loop)
        self.core = core
        guard let peer = SocketAddress("127.0.0.1:1") else { return }
        let endpoint = Endpoint(isTLS: false, host: "127.0.0.1", port: 1, wireProtocol: .http2)
        let pool = EndpointPool(endpoint, in: core)
        let stream = MemoryStream(loop, peer: peer)
        pool.didConnect(stream)
        let habits = input.first ?? 0
        let readers = [0, 40_000, 10].map { length in
            HostileAnswer(loop, core, pool, bodyLength: length, habits: habits)
        }
        // What comes at once may be faster than the requests.
        if habits & 72 != 72 { await loop.sleep(.zero) }
        for piece in Cuts(input).pieces {
            stream.receive(piece)
            if habits >= 128 { await loop.sleep(.zero) }
        }
        await loop.sleep(.zero)
        for reader in readers { reader.goOn() }
        stream.end()
        for _ in 0..<20 where core.openExchanges > 0 || core.openConnections > 0 { await loop.sleep(.zero) }
        precondition(!stream.isOpen && core.openConnections == 0, "a connection was left")
        precondition(core.openExchanges == 0 && core.deadlines.count == 0, "an exchange was left")
        for _ in 0..<20 where readers.contains(where: { $0.ends == 0 }) { await loop.sleep(.zero) }
        precondition(readers.allSatisfy { $0.ends == 1 }, "an exchange did not end once")
        precondition(readers.reduce(0) { $0 + $1.received } <= input.count, "bytes came from nowhere")
    }

    private static func makeCore(_ loop: EventLoop) -> ClientCore {
        var options = HTTPClient.Options()
        options.windowPerStream = 1000
        // Exchanges that are tried again find nobody.
        options.refuses = { _ in true }
        do { return try ClientCore(loop, options) } catch { fatalError("\(error)") }
    }
}

/// A request whose answer is read in one of several ways.
private final class HostileAnswer {
    private(set) var ends = 0
    private(set) var received = 0
    private let exchange: Exchange
    private let habits: UInt8
    private var response: FetchResponse?
    private var mayPause = true

    init(_ loop: EventLoop, _ core: ClientCore, _ pool: EndpointPool, bodyLength: Int, habits: UInt8) {
        let head = HTTPRequestHead(method: bodyLength > 0 ? "POST" : "GET", target: "/", headers: ["a": "b"])
        let body = [UInt8](repeating: 7, count: bodyLength)
        exchange = Exchange(FetchRequest(to: pool.endpoint, head, body: body), in: pool)
        self.habits = habits
        core.openExchanges += 1
        pool.enqueue(exchange)
        loop.spawn { [self] in
            guard let response = try? await exchange.response() else { return end() }
            if habits & 8 != 0 {
                received += (try? await response.collect(limit: 500))?.count ?? 0
                return end()
            }
            self.response = response
            response.consume(
                onData: { [self] bytes in
                    received += bytes.count
                    if habits & 16 != 0, mayPause { response.setPaused(true) }
                    if habits & 32 != 0 {
                        response.cancel()
                        end()
                    }
                },
                onEnd: { [self] _ in end() }
            )
            if habits & 64 != 0, mayPause { response.setPaused(true) }
        }
    }

    private func end() {
        ends += 1
        response = nil
    }

    func goOn() {
        mayPause = false
        if habits & 40 == 40 { exchange.cancelBySender() }
        response?.setPaused(false)
    }
}
