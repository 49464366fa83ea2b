import HTTPMessages
import Reactor
import TestSupport
import Testing

@testable import HTTPServing

@Suite("What a busy connection holds does not grow with its age")
struct HeldBytesTests {
    @Test("a caller that is always one request ahead does not have all of them kept")
    func pipelining() async throws {
        try await onLoop { loop in
            var waiting: [ServerExchange] = []
            let server = HTTPServer(loop, limits: HTTPServerLimits()) {
                waiting.append($0)
                $0.continueLater()
            }
            let stream = MemoryStream(loop, peer: try #require(SocketAddress("127.0.0.1:1")))
            let connection = HTTP1Connection(ConnectionLink(server, stream, isTLS: false) {})
            stream.handler = connection
            let field = String(repeating: "x", count: 8000)
            let request = Array("GET / HTTP/1.1\r\nhost: a\r\nx: \(field)\r\n\r\n".utf8)
            stream.receive(request[...])
            stream.receive(request[...])
            var most = 0
            for count in 1...200 {
                stream.receive(request[...])
                most = max(most, connection.heldBytes)
                #expect(waiting.count == count)
                waiting.last?.respond(HTTPResponseHead(status: 204), body: [])
                while waiting.count == count { await loop.sleep(.milliseconds(1)) }
            }
            #expect(most < 10 * request.count)
            connection.cut()
        }
    }

    @Test("a stream whose caller never takes all of it does not keep what was taken")
    func slowReader() async throws {
        try await onLoop { loop in
            let server = HTTPServer(loop, limits: HTTPServerLimits()) { $0.continueLater() }
            let address = try #require(SocketAddress("127.0.0.1:1"))
            let memory = MemoryStream(loop, peer: address)
            let connection = try #require(HTTP2Connection(ConnectionLink(server, memory, isTLS: false) {}))
            let stream = HTTP2Stream(1, connection, startedAt: .now)
            stream.startAnswer(HTTPResponseHead(status: 200), body: nil)
            let piece = [UInt8](0..<200)
            var sent: [UInt8] = []
            var most = 0
            stream.writeAnswer(UnsafeRawBufferPointer(start: nil, count: 0))
            piece.withUnsafeBytes { stream.writeAnswer($0) }
            for _ in 0..<2000 {
                piece.withUnsafeBytes { stream.writeAnswer($0) }
                stream.take(200) { sent.append(contentsOf: $0) }
                most = max(most, stream.heldBytes)
            }
            #expect(most < 10 * piece.count)
            stream.take(200) { sent.append(contentsOf: $0) }
            #expect(sent == (0..<2001).flatMap { _ in piece })
            #expect(stream.pendingBytes == 0)
            connection.cut()
        }
    }
}
