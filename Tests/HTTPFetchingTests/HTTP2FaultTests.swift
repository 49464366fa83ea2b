import HTTPFetching
import HTTPMessages
import Reactor
import Testing

@Suite("HTTP/2 upstreams that misbehave")
struct HTTP2FaultTests {
    @Test("a request beyond the last stream of a GOAWAY is sent again on a new connection; the others go on")
    func goAway() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                if request.path == "/old" { link.head(200, on: request.streamID) }
                if request.path == "/new" {
                    if link.order.count > 1 {
                        link.goAway(last: 1)
                    } else {
                        link.answer("second", on: request.streamID)
                    }
                }
            }
            defer { peer.close() }
            let old = Reading(try await client.send(.get(peer.address, .http2, "/old")))
            #expect(try await client.send(.get(peer.address, .http2, "/new")).text() == "second")
            #expect(peer.links.count == 2)
            peer.links.first?.body(Array("first".utf8), on: 1)
            await loop.wait { old.isEnded }
            #expect(old.text == "first")
            #expect(old.ends == [nil])
            // The old connection takes nothing new and is closed when it has nothing more to do.
            await loop.wait { client.openConnections == 1 }
            #expect(client.openConnections == 1)
        }
    }

    @Test("a refused stream is sent again on a new connection, two times, and then reported", arguments: [1, 2, 3])
    func refused(times: Int) async throws {
        try await fetching { loop, client in
            var left = times
            let peer = try HTTP2Peer(loop) { link, request in
                left -= 1
                if left >= 0 { link.reset(request.streamID, code: 7) } else { link.answer("ok", on: request.streamID) }
            }
            defer { peer.close() }
            let failure = await client.failure(of: .post(peer.address, .http2, body: pattern(1000)))
            #expect(failure == (times < 3 ? nil : .notProcessed))
            #expect(peer.links.count == min(3, times + 1))
            #expect(peer.links.last?.requests[1]?.body == pattern(1000))
        }
    }

    @Test("a stream that is reset in the middle of its answer ends with an error", arguments: [0, 2, 7, 8] as [UInt32])
    func resetInBody(code: UInt32) async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                link.head(200, on: request.streamID)
                link.body(Array("half".utf8), on: request.streamID, isEnd: false)
            }
            defer { peer.close() }
            let reading = Reading(try await client.send(.get(peer.address, .http2)))
            await loop.wait { reading.pieces == 1 }
            peer.links.first?.reset(1, code: code)
            await loop.wait { reading.isEnded }
            #expect(reading.text == "half")
            guard case .connectionLost = reading.ends.first ?? nil else {
                Issue.record("ended with \(reading.ends)")
                return
            }
            #expect(peer.links.count == 1)
        }
    }

    @Test("a body shorter or longer than announced is not taken for whole", arguments: [3, 5])
    func wrongLength(announced: Int) async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                link.head(200, [("content-length", String(announced))], on: request.streamID)
                link.body(Array("four".utf8), on: request.streamID)
            }
            defer { peer.close() }
            guard case .connectionLost = await client.failure(of: .get(peer.address, .http2)) else {
                Issue.record("taken for whole")
                return
            }
        }
    }

    @Test("a connection cut in the middle of an answer ends it with an error, and is not tried again")
    func cutInBody() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                link.head(200, on: request.streamID)
                link.body(Array("half".utf8), on: request.streamID, isEnd: false)
            }
            defer { peer.close() }
            let reading = Reading(try await client.send(.get(peer.address, .http2)))
            await loop.wait { reading.pieces == 1 }
            peer.links.first?.stream.close()
            await loop.wait { reading.isEnded }
            #expect(reading.ends == [.connectionLost(detail: "closed by upstream")])
            #expect(peer.links.count == 1)
        }
    }

    @Test("a new connection that is cut without an answer is an error: the request may have been worked on")
    func cutWhenNew() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, _ in link.stream.close() }
            defer { peer.close() }
            #expect(
                await client.failure(of: .post(peer.address, .http2, body: [1]))
                    == .connectionLost(detail: "closed by upstream")
            )
            #expect(peer.links.count == 1)
        }
    }

    @Test("a used connection that turns out dead is replaced, and the request sent again")
    func cutWhenReused() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                if link.order.count > 1 { link.stream.abort() } else { link.answer("ok", on: request.streamID) }
            }
            defer { peer.close() }
            for _ in 0..<3 {
                #expect(try await client.send(.post(peer.address, .http2, body: [1])).text() == "ok")
            }
            #expect(peer.links.count == 3)
        }
    }

    @Test("a used connection that is lost later than a round trip is an error")
    func cutLate() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                if request.path == "/late" {
                    loop.spawn {
                        await loop.sleep(.milliseconds(2100))
                        link.stream.close()
                    }
                } else {
                    link.answer("ok", on: request.streamID)
                }
            }
            defer { peer.close() }
            #expect(try await client.send(.get(peer.address, .http2)).text() == "ok")
            #expect(
                await client.failure(of: .get(peer.address, .http2, "/late"))
                    == .connectionLost(detail: "closed by upstream")
            )
            #expect(peer.links.count == 1)
        }
    }

    @Test("what is no HTTP/2 is refused", arguments: ["HTTP/1.1 400 Bad Request\r\n\r\n", "\0\0\0\0\0\0\0\0\0\0\0\0"])
    func garbage(text: String) async throws {
        try await fetching { loop, client in
            let peer = try HTTP1Peer(loop) { _, _ in }
            peer.onAccept = { $0.send(text) }
            defer { peer.close() }
            guard case .protocolViolation = await client.failure(of: .get(peer.address, .http2)) else {
                Issue.record("not noticed")
                return
            }
        }
    }

    @Test("a head beyond 64 KiB is refused, and the connection goes on", arguments: [1000, 20_000])
    func hugeHead(valueCount: Int) async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                guard request.path == "/huge" else { return link.answer("ok", on: request.streamID) }
                // Also within one HEADERS frame: an indexed field costs one byte on the wire.
                let fields = (0..<(70_000 / valueCount + 1)).map { _ in
                    ("x-big", String(repeating: "v", count: valueCount))
                }
                link.head(200, fields, on: request.streamID)
            }
            defer { peer.close() }
            #expect(
                await client.failure(of: .get(peer.address, .http2, "/huge"))
                    == .protocolViolation(detail: "head too large")
            )
            #expect(try await client.send(.get(peer.address, .http2)).text() == "ok")
            #expect(peer.links.count == 1)
        }
    }

    enum Flood: CaseIterable {
        case settings, ping, emptyData, priority, interim, continuation, resetOfOthers
    }

    @Test("a flood of frames that bring nothing ends the connection", arguments: Flood.allCases)
    func floods(flood: Flood) async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                let id = request.streamID
                link.answer("calm", on: id)
            }
            defer { peer.close() }
            #expect(try await client.send(.get(peer.address, .http2)).text() == "calm")
            peer.onRequest = { link, request in
                let id = request.streamID
                if flood == .emptyData { link.head(200, on: id) }
                if flood == .continuation { link.send(.headers, on: id, []) }
                for _ in 0..<3000 {
                    switch flood {
                    case .settings: link.settings([])
                    case .ping: link.send(.ping, [0, 0, 0, 0, 0, 0, 0, 0])
                    case .emptyData: link.send(.data, on: id)
                    case .priority: link.send(.priority, on: id, [0, 0, 0, 0, 1])
                    case .interim: link.head(103, on: id)
                    case .continuation: link.send(.continuation, on: id, [])
                    case .resetOfOthers: link.reset(1, code: 8)
                    }
                }
            }
            var request = FetchRequest.get(peer.address, .http2)
            request.timeouts.firstByte = .seconds(5)
            let failure = await client.failure(of: request)
            switch failure {
            case .connectionLost, .protocolViolation: break
            default: Issue.record("\(flood) ended with \(String(describing: failure))")
            }
            await loop.wait { client.openConnections == 0 }
            #expect(client.openConnections == 0)
        }
    }

    @Test("frames of unknown types are passed over, and do not keep an exchange alive")
    func unknownFrames() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                for _ in 0..<100 { link.send(UInt8(0x7f), on: request.streamID, [1, 2, 3]) }
                if request.path == "/" { link.answer("ok", on: request.streamID) }
            }
            defer { peer.close() }
            #expect(try await client.send(.get(peer.address, .http2)).text() == "ok")
            var request = FetchRequest.get(peer.address, .http2, "/silent")
            request.timeouts.firstByte = .milliseconds(50)
            #expect(await client.failure(of: request) == .firstByteTimedOut)
        }
    }

    @Test("more than the window is refused, and what was read stays bounded")
    func windowIgnored() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                link.head(200, on: request.streamID)
                for _ in 0..<100 { link.send(.data, on: request.streamID, [UInt8](repeating: 0, count: 16_384)) }
            }
            defer { peer.close() }
            let response = try await client.send(.get(peer.address, .http2))
            await loop.wait { peer.links.first?.requests[1]?.resetCode != nil || peer.links.first?.goAwayCode != nil }
            await #expect(throws: FetchError.self) { _ = try await response.collect(limit: 1 << 24) }
        }
    }

    @Test(
        "a connection that was silent for long is pinged before it is used, and replaced when it does not answer",
        arguments: [true, false]
    )
    func health(answers: Bool) async throws {
        var options = HTTPClient.Options()
        options.pingAfter = .milliseconds(400)
        options.pingTimeout = .milliseconds(400)
        try await fetching(options) { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in link.answer("ok", on: request.streamID) }
            peer.answersPings = answers
            defer { peer.close() }
            #expect(try await client.send(.get(peer.address, .http2)).text() == "ok")
            #expect(peer.links.first?.pings == 0)
            await loop.sleep(.milliseconds(500))
            #expect(try await client.send(.get(peer.address, .http2)).text() == "ok")
            #expect(peer.links.first?.pings == 1)
            #expect(peer.links.count == (answers ? 1 : 2))
            #expect(peer.links.first?.order.count == (answers ? 2 : 1))
            await loop.wait { client.openConnections == 1 }
            #expect(client.openConnections == 1)
        }
    }

    @Test("frames may be split anywhere")
    func split() async throws {
        try await fetching { loop, client in
            // The bytes of a server that answers stream 1, as they would go out.
            let sample = "\0\0\0\u{4}\0\0\0\0\0" + "\0\0\u{1}\u{1}\u{4}\0\0\0\u{1}"
            let bytes = Array(sample.utf8) + [0x88] + [0, 0, 4, 0, 1, 0, 0, 0, 1] + Array("body".utf8)
            for offset in 1..<bytes.count {
                let peer = try HTTP1Peer(loop) { _, _ in }
                peer.onAccept = { link in
                    loop.spawn {
                        link.stream.write(Array(bytes[..<offset]))
                        await loop.sleep(.milliseconds(2))
                        link.stream.write(Array(bytes[offset...]))
                    }
                }
                #expect(try await client.send(.get(peer.address, .http2)).text() == "body")
                peer.close()
            }
        }
    }
}
