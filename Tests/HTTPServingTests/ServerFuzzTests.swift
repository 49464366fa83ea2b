import HTTPMessages
import Reactor
import TestSupport
import Testing

@testable import HTTPServing

@Suite("The server and spoiled input", .timeLimit(.minutes(15)))
struct ServerFuzzTests {
    private static let http1: [[UInt8]] = [
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
        "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HEAD /pieces HTTP/1.1\r\nHost: a\r\n\r\nGET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "PUT /body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
        "GET /pieces HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ].map { [UInt8]($0.utf8) }

    private static let http2: [[UInt8]] = [
        frame(4) + frame(1, flags: 5, stream: 1, getBlock) + frame(1, flags: 5, stream: 3, getBlock),
        frame(4, [0, 4, 0, 0, 0, 10]) + frame(1, flags: 4, stream: 1, postBlock) + frame(0, stream: 1, [1, 2, 3])
            + frame(0, flags: 1, stream: 1, [4]) + frame(8, [0, 0, 1, 0]) + frame(8, stream: 1, [0, 0, 1, 0]),
        frame(4) + frame(1, flags: 0, stream: 1, getBlock) + frame(9, flags: 4, stream: 1, [0, 1, 0x78, 1, 0x79])
            + frame(3, stream: 1, [0, 0, 0, 8]) + frame(6, [1, 2, 3, 4, 5, 6, 7, 8]),
        frame(4) + frame(1, flags: 0x2c, stream: 1, [2, 0, 0, 0, 0, 5] + postBlock + [0, 0])
            + frame(0, flags: 8, stream: 1, [2, 9, 9, 0, 0]) + frame(1, flags: 5, stream: 1, [0, 1, 0x78, 1, 0x79])
            + frame(2, stream: 5, [0, 0, 0, 1, 9]) + frame(7, [0, 0, 0, 0, 0, 0, 0, 0]),
    ].map { http2Preface + $0 }

    /// `:method: POST`, `:path: /body`.
    private static let postBlock: [UInt8] =
        [0x83, 0x86, 0x44, 5] + [UInt8]("/body".utf8) + [0x41, 0x01, 0x61]

    @Test("spoiled input neither crashes the server nor leaves anything behind", arguments: [1, 2])
    func mutations(version: Int) async throws {
        try await onLoop { loop in
            var handled = 0
            let server = HTTPServer(loop, limits: HTTPServerLimits()) { exchange in
                handled += 1
                if handled % 5 == 0 { await loop.sleep(.zero) }
                if exchange.request.target != "/pieces" {
                    let body = try? await exchange.collectBody(limit: 1000)
                    exchange.respond(HTTPResponseHead(status: 200), body: body ?? [])
                } else {
                    exchange.startResponse(HTTPResponseHead(status: 200))
                    exchange.write([1, 2, 3])
                    if handled % 3 == 0 { exchange.cut() } else { exchange.finish() }
                }
            }
            let peer = try #require(SocketAddress("127.0.0.1:1"))
            let corpus = version == 1 ? Self.http1 : Self.http2
            let telling: [UInt8] =
                version == 1 ? [UInt8]("\r\n :0123456789".utf8) : [0, 1, 3, 4, 5, 8, 9, 0x7f, 0x80, 0xff]
            var chance = SeededGenerator(seed: UInt64(version))
            for round in 0..<10_000 {
                let stream = MemoryStream(loop, peer: peer)
                server.serve(stream, isTLS: false) {}
                var input = corpus[chance.below(corpus.count)]
                // The first rounds are as they should be, and show that the corpus reaches handlers.
                if round >= corpus.count {
                    input = chance.mutated(input, alphabet: telling)
                    // Most mutations keep the preface: without it everything is HTTP/1.
                    if version == 2, round % 8 != 0 {
                        input.replaceSubrange(..<min(24, input.count), with: http2Preface)
                    }
                }
                var start = 0
                let cuts = (0..<chance.below(7)).map { _ in chance.below(input.count + 1) }.sorted()
                for end in cuts + [input.count] {
                    stream.receive(input[start..<end])
                    start = end
                    if round % 4 == 0 { await loop.sleep(.zero) }
                }
                await loop.sleep(.zero)
                #expect(stream.written.count < 100_000)
                stream.end()
                if stream.isOpen { await loop.sleep(.zero) }
                #expect(!stream.isOpen, "round \(round)")
            }
            await loop.sleep(.milliseconds(5))
            #expect(server.openConnections == 0)
            #expect(server.openExchanges == 0)
            #expect(handled > 2000)
        }
    }
}
