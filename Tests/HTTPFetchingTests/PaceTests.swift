import HTTPFetching
import HTTPMessages
import Reactor
import Testing

@Suite("The reader's pace")
struct PaceTests {
    private static func options(window: Int) -> HTTPClient.Options {
        var options = HTTPClient.Options()
        options.windowPerStream = window
        return options
    }

    @Test("HTTP/2: an answer that nobody reads stops at its window, one that is read goes on")
    func http2Window() async throws {
        try await fetching(Self.options(window: 100_000)) { loop, client in
            let whole = pattern(1_000_000)
            let peer = try HTTP2Peer(loop) { link, request in
                link.head(200, on: request.streamID)
                link.body(whole, on: request.streamID)
            }
            defer { peer.close() }
            let response = try await client.send(.get(peer.address, .http2))
            let link = try #require(peer.links.first)
            await loop.wait { link.sent[1] == 100_000 }
            await loop.sleep(.milliseconds(20))
            #expect(link.sent[1] == 100_000)

            let reading = Reading(response)
            reading.onData = { if reading.bytes.count >= 300_000 { response.setPaused(true) } }
            await loop.wait { reading.bytes.count >= 300_000 }
            await loop.sleep(.milliseconds(20))
            let read = reading.bytes.count
            #expect(read < 500_000)
            #expect(link.sent[1, default: 0] <= read + 100_000)
            #expect(!reading.isEnded)

            reading.onData = nil
            response.setPaused(false)
            await loop.wait { reading.isEnded }
            #expect(reading.bytes == whole)
            #expect(reading.ends == [nil])
        }
    }

    @Test("HTTP/2: a slow reader stops its own stream and no other")
    func http2Neighbours() async throws {
        try await fetching(Self.options(window: 65_536)) { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                link.head(200, on: request.streamID)
                link.body(pattern(500_000), on: request.streamID)
            }
            defer { peer.close() }
            // As many sleepers as a connection takes, less one: together they have all of a naive window.
            var sleepers: [FetchResponse] = []
            for _ in 0..<63 { sleepers.append(try await client.send(.get(peer.address, .http2))) }
            #expect(try await client.send(.get(peer.address, .http2)).collect(limit: 1 << 20) == pattern(500_000))
            #expect(peer.links.count == 1)
            for sleeper in sleepers { sleeper.cancel() }
        }
    }

    @Test("HTTP/1.1: an answer that nobody reads, or whose reader pauses, stops the upstream")
    func http1Reading() async throws {
        try await fetching(Self.options(window: 100_000)) { loop, client in
            try await expectPacing(loop) { try await client.send(.get($0, .http1)) }
        }
    }

    @Test("a body is collected whole, or refused beyond the limit", arguments: [Endpoint.WireProtocol.http1, .http2])
    func collecting(wire: Endpoint.WireProtocol) async throws {
        try await fetching(Self.options(window: 65_536)) { loop, client in
            let whole = pattern(1_000_000)
            let http1 = try HTTP1Peer(loop) { link, _ in
                link.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nf4240\r\n")
                link.stream.write(whole)
                link.send("\r\n0\r\n\r\n")
            }
            let http2 = try HTTP2Peer(loop) { link, request in
                link.head(200, on: request.streamID)
                link.body(whole, on: request.streamID)
            }
            defer {
                http1.close()
                http2.close()
            }
            let address = wire == .http1 ? http1.address : http2.address
            #expect(try await client.send(.get(address, wire)).collect(limit: 1_000_000) == whole)
            for limit in [0, 10, 65_536, 999_999] {
                await #expect(throws: FetchError.bodyTooLarge) {
                    _ = try await client.send(.get(address, wire)).collect(limit: limit)
                }
            }
        }
    }

    @Test(
        "a large request waits for an upstream that is slow to take it",
        arguments: [Endpoint.WireProtocol.http1, .http2]
    )
    func slowUpload(wire: Endpoint.WireProtocol) async throws {
        try await fetching { loop, client in
            let body = pattern(16 << 20)
            let http1 = try HTTP1Peer(loop) { link, request in link.answer("\(request.body == body)") }
            http1.onPartialRequest = { link, _ in
                link.stream.setReading(false)
                loop.spawn {
                    await loop.sleep(.milliseconds(1))
                    link.stream.setReading(true)
                }
            }
            let http2 = try HTTP2Peer(loop) { link, request in
                link.answer("\(request.body == body)", on: request.streamID)
            }
            defer {
                http1.close()
                http2.close()
            }
            let address = wire == .http1 ? http1.address : http2.address
            #expect(try await client.send(.post(address, wire, body: body)).text() == "true")
        }
    }
}
