import HTTPMessages
import Reactor
import TestSupport

@testable import HTTPServing

/// A whole server on connections without sockets: whatever comes, it must go on, and have nothing left afterwards.
final class ServerTarget: @unchecked Sendable {
    static let shared = ServerTarget()
    static let http2Preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private let thread: LoopThread
    // Touched on the loop's thread only.
    private var server: HTTPServer?

    private init() {
        do { thread = try LoopThread(name: "fuzz") } catch { fatalError("\(error)") }
    }

    func feed(_ input: [UInt8], preface: [UInt8]) { thread.finish { await self.run(input, preface) } }

    private func run(_ input: [UInt8], _ preface: [UInt8]) async {
        let loop = thread.loop
        let server = self.server ?? Self.makeServer(loop)
        self.server = server
        guard let peer = SocketAddress("127.0.0.1:1") else { return }
        let cuts = Cuts(input)
        let stream = MemoryStream(loop, peer: peer)
        server.serve(stream, isTLS: false) {}
        if !preface.isEmpty { stream.receive(preface[...]) }
        for piece in cuts.pieces {
            stream.receive(piece)
            if input.first.map({ $0 >= 128 }) ?? false { await loop.sleep(.zero) }
        }
        await loop.sleep(.zero)
        stream.end()
        for _ in 0..<10 where server.openConnections > 0 || server.openExchanges > 0 { await loop.sleep(.zero) }
        precondition(!stream.isOpen && server.openConnections == 0, "a connection was left")
        precondition(server.openExchanges == 0, "an exchange was left")
    }

    private static func makeServer(_ loop: EventLoop) -> HTTPServer {
        var handled = 0
        return HTTPServer(loop, limits: HTTPServerLimits()) { exchange in
            handled += 1
            if handled % 3 == 0 { await loop.sleep(.zero) }
            if exchange.request.target != "/pieces" {
                let body = try? await exchange.collectBody(limit: 1000)
                exchange.respond(HTTPResponseHead(status: 200), body: body ?? [])
            } else {
                exchange.startResponse(HTTPResponseHead(status: 200))
                [UInt8](repeating: 1, count: 100).withUnsafeBytes { exchange.write($0) }
                if handled % 5 == 0 { exchange.cut() } else { exchange.finish() }
            }
        }
    }
}
