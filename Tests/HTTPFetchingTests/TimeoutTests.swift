import HTTPFetching
import HTTPMessages
import Reactor
import Testing

@Suite("Timeouts and cancelling")
struct TimeoutTests {
    /// A peer of either version that does `onHead` when a request's head is there.
    private struct Peers {
        let http1: HTTP1Peer
        let http2: HTTP2Peer

        init(
            _ loop: EventLoop,
            http1 one: @escaping (HTTP1PeerLink) -> Void,
            http2 two: @escaping (HTTP2PeerLink, Int32) -> Void
        ) throws {
            http1 = try HTTP1Peer(loop) { link, _ in one(link) }
            http2 = try HTTP2Peer(loop) { link, request in two(link, request.streamID) }
        }

        static func answering(_ loop: EventLoop) throws -> Peers {
            try Peers(loop, http1: { $0.answer("body") }, http2: { link, id in link.answer("body", on: id) })
        }

        /// They begin an answer that they never end.
        static func beginning(_ loop: EventLoop, if isAnswered: @escaping () -> Bool) throws -> Peers {
            try Peers(
                loop,
                http1: { if isAnswered() { $0.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbo") } },
                http2: { link, id in if isAnswered() { link.head(200, on: id) } }
            )
        }

        func address(_ wire: Endpoint.WireProtocol) -> SocketAddress { wire == .http1 ? http1.address : http2.address }
        func close() {
            http1.close()
            http2.close()
        }
        /// Whether the peer has seen the exchange end: the connection closed, the stream cancelled.
        func hasSeenCancel(_ wire: Endpoint.WireProtocol) -> Bool {
            if wire == .http1 { return http1.links.allSatisfy(\.isEnded) }
            return http2.links.allSatisfy { link in link.requests.values.allSatisfy { $0.resetCode == 8 } }
        }
    }

    private static let wires = [Endpoint.WireProtocol.http1, .http2]

    @Test("an upstream that does not answer in time", arguments: wires)
    func firstByte(wire: Endpoint.WireProtocol) async throws {
        try await fetching { loop, client in
            let peers = try Peers(loop, http1: { _ in }, http2: { _, _ in })
            defer { peers.close() }
            var request = FetchRequest.get(peers.address(wire), wire)
            request.timeouts.firstByte = .milliseconds(50)
            let start = MonotonicTime.now
            #expect(await client.failure(of: request) == .firstByteTimedOut)
            #expect(start.elapsed >= .milliseconds(50))
            await loop.wait { peers.hasSeenCancel(wire) }
            #expect(peers.hasSeenCancel(wire))
        }
    }

    @Test("an answer that stalls; one that comes in small steps does not", arguments: wires)
    func idle(wire: Endpoint.WireProtocol) async throws {
        try await fetching { loop, client in
            let peers = try Peers(
                loop,
                http1: { link in
                    link.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
                    loop.spawn {
                        for _ in 0..<6 {
                            await loop.sleep(.seconds(1))
                            link.send("x")
                        }
                    }
                },
                http2: { link, id in
                    link.head(200, on: id)
                    loop.spawn {
                        for _ in 0..<6 {
                            await loop.sleep(.seconds(1))
                            link.body([UInt8(ascii: "x")], on: id, isEnd: false)
                        }
                    }
                }
            )
            defer { peers.close() }
            var request = FetchRequest.get(peers.address(wire), wire)
            request.timeouts.idle = .seconds(5)
            let reading = Reading(try await client.send(request))
            await loop.wait { reading.isEnded }
            #expect(reading.ends == [.idleTimedOut])
            #expect(reading.text == "xxxxxx")
            await loop.wait { peers.hasSeenCancel(wire) }
            #expect(peers.hasSeenCancel(wire))
        }
    }

    @Test("the idle timeout does not run while the reader pauses", arguments: wires)
    func idlePaused(wire: Endpoint.WireProtocol) async throws {
        try await fetching { loop, client in
            let peers = try Peers(
                loop,
                http1: { $0.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbo") },
                http2: { link, id in link.head(200, on: id) }
            )
            defer { peers.close() }
            var request = FetchRequest.get(peers.address(wire), wire)
            request.timeouts.idle = .milliseconds(200)
            let response = try await client.send(request)
            let reading = Reading(response)
            response.setPaused(true)
            await loop.sleep(.milliseconds(400))
            #expect(!reading.isEnded)
            response.setPaused(false)
            let start = MonotonicTime.now
            await loop.wait { reading.isEnded }
            #expect(reading.ends == [.idleTimedOut])
            #expect(start.elapsed >= .milliseconds(150))
        }
    }

    @Test("the whole takes too long, before the head or after it, paused or not", arguments: wires)
    func total(wire: Endpoint.WireProtocol) async throws {
        try await fetching { loop, client in
            var answersHead = false
            let peers = try Peers.beginning(loop) { answersHead }
            defer { peers.close() }
            var request = FetchRequest.get(peers.address(wire), wire)
            request.timeouts.total = .milliseconds(400)
            #expect(await client.failure(of: request) == .totalTimedOut)
            // Time enough for a head.
            request.timeouts.total = .seconds(3)
            answersHead = true
            for isPaused in [false, true] {
                let response = try await client.send(request)
                let reading = Reading(response)
                response.setPaused(isPaused)
                await loop.wait { reading.isEnded }
                #expect(reading.ends == [.totalTimedOut])
            }
        }
    }

    @Test("an upstream that does not take the request", arguments: wires)
    func upload(wire: Endpoint.WireProtocol) async throws {
        try await fetching { loop, client in
            let peers = try Peers(loop, http1: { _ in }, http2: { _, _ in })
            peers.http1.onAccept = { $0.stream.setReading(false) }
            peers.http2.creditsRequests = false
            defer { peers.close() }
            var request = FetchRequest.post(peers.address(wire), wire, body: pattern(24 << 20))
            request.timeouts.idle = .milliseconds(100)
            #expect(await client.failure(of: request) == .idleTimedOut)
        }
    }

    @Test("no connection in time: TLS that never comes")
    func connect() async throws {
        try await fetching { loop, client in
            let peer = try HTTP1Peer(loop) { _, _ in }
            defer { peer.close() }
            var request = FetchRequest.get(peer.address, .auto)
            request.endpoint.isTLS = true
            request.timeouts.connect = .milliseconds(50)
            #expect(await client.failure(of: request) == .connectTimedOut)
        }
    }

    @Test("a refused connection is an error at once, for everyone who waited for it", arguments: wires)
    func refused(wire: Endpoint.WireProtocol) async throws {
        try await fetching { loop, client in
            let peer = try HTTP1Peer(loop) { _, _ in }
            let address = peer.address
            peer.close()
            await loop.sleep(.milliseconds(5))
            let failures = (0..<5).map { _ in loop.start { await client.failure(of: .get(address, wire)) } }
            for failure in failures {
                guard case .connect = try await failure.wait() else {
                    Issue.record("no connect error")
                    return
                }
            }
        }
    }

    @Test("cancelling while waiting for a connection, for the head, or in the body ends the exchange", arguments: wires)
    func cancelling(wire: Endpoint.WireProtocol) async throws {
        try await fetching { loop, client in
            var answersHead = false
            let peers = try Peers.beginning(loop) { answersHead }
            defer { peers.close() }
            let request = FetchRequest.get(peers.address(wire), wire)

            // Before there is a connection.
            let early = FetchCanceller()
            let waiting = loop.start { try await client.send(request, canceller: early) }
            early.cancel()
            await #expect(throws: FetchError.cancelled) { _ = try await waiting.wait() }
            #expect(client.openExchanges == 0)
            await #expect(throws: FetchError.cancelled) { _ = try await client.send(request, canceller: early) }

            // Before the head.
            let late = FetchCanceller()
            let sent = loop.start { try await client.send(request, canceller: late) }
            await loop.wait {
                wire == .http1 ? !peers.http1.requests.isEmpty : peers.http2.links.first?.order.count == 1
            }
            late.cancel()
            await #expect(throws: FetchError.cancelled) { _ = try await sent.wait() }
            await loop.wait { peers.hasSeenCancel(wire) }
            #expect(peers.hasSeenCancel(wire))

            // In the body: by the reader, by the canceller, by letting go of the answer.
            answersHead = true
            let response = try await client.send(request)
            let reading = Reading(response)
            response.cancel()
            let canceller = FetchCanceller()
            let second = Reading(try await client.send(request, canceller: canceller))
            canceller.cancel()
            _ = try await client.send(request)
            await loop.wait { client.openExchanges == 0 && peers.hasSeenCancel(wire) }
            #expect(peers.hasSeenCancel(wire))
            #expect(reading.ends.isEmpty)
            #expect(second.ends.isEmpty)
        }
    }

    @Test("cancelling from within a callback is safe", arguments: wires)
    func cancelInside(wire: Endpoint.WireProtocol) async throws {
        try await fetching { loop, client in
            let peers = try Peers.answering(loop)
            defer { peers.close() }
            let response = try await client.send(.get(peers.address(wire), wire))
            var calls = 0
            response.consume { _ in
                calls += 1
                response.cancel()
                client.close()
            } onEnd: { _ in
                calls += 100
            }
            await loop.wait { calls > 0 }
            #expect(calls == 1)
        }
    }

    @Test("idle connections are closed after their lifetime", arguments: wires)
    func idleConnections(wire: Endpoint.WireProtocol) async throws {
        var options = HTTPClient.Options()
        options.idleConnectionLifetime = .seconds(3)
        try await fetching(options) { loop, client in
            let peers = try Peers.answering(loop)
            defer { peers.close() }
            // Together longer than the lifetime, which each exchange begins anew.
            for _ in 0..<7 {
                #expect(try await client.send(.get(peers.address(wire), wire)).text() == "body")
                await loop.sleep(.milliseconds(500))
            }
            #expect(client.openConnections == 1)
            #expect(peers.http1.links.count + peers.http2.links.count == 1)
            await loop.wait { client.openConnections == 0 }
            #expect(client.openConnections == 0)
        }
    }

    @Test("a closed client finishes what it has begun and begins nothing more", arguments: wires)
    func closing(wire: Endpoint.WireProtocol) async throws {
        try await fetching { loop, client in
            let peers = try Peers(
                loop,
                http1: { link in
                    loop.spawn {
                        await loop.sleep(.milliseconds(20))
                        link.answer("body")
                    }
                },
                http2: { link, id in
                    loop.spawn {
                        await loop.sleep(.milliseconds(20))
                        link.answer("body", on: id)
                    }
                }
            )
            defer { peers.close() }
            let request = FetchRequest.get(peers.address(wire), wire)
            let answer = loop.start { try await client.send(request).text() }
            client.close()
            #expect(try await answer.wait() == "body")
            #expect(await client.failure(of: request) == .connect(detail: "client closed"))
            await loop.wait { client.openConnections == 0 }
            #expect(client.openConnections == 0)
        }
    }
}
