import HTTPFetching
import HTTPMessages
import Reactor
import Testing

@Suite("Fetching over HTTP/2")
struct HTTP2FetchTests {
    @Test("a request goes out whole and its answer comes back whole")
    func roundTrip() async throws {
        try await fetching { loop, client in
            let body = pattern(300_000)
            let peer = try HTTP2Peer(loop) { link, request in
                link.head(201, [("x-kind", "test"), ("x-kind", "twice"), ("set-cookie", "a=b")], on: request.streamID)
                link.body(request.body.reversed(), on: request.streamID)
            }
            defer { peer.close() }
            var request = FetchRequest.post(peer.address, .http2, "/v1/messages?beta=true", body: body)
            request.head.headers.add("X-Api-Key", "secret")
            let response = try await client.send(request)
            #expect(response.head.status == 201)
            #expect(response.version == .http2)
            #expect(response.head.headers.values("x-kind") == ["test", "twice"])
            #expect(response.head.headers["set-cookie"] == "a=b")
            #expect(try await response.collect(limit: 1 << 20) == body.reversed())
            let seen = try #require(peer.links.first?.requests.values.first)
            #expect(seen.body == body)
            #expect(seen[":method"] == "POST")
            #expect(seen[":scheme"] == "http")
            #expect(seen[":authority"] == "127.0.0.1:\(peer.address.port)")
            #expect(seen.path == "/v1/messages?beta=true")
            #expect(seen["x-api-key"] == "secret")
            #expect(seen["content-type"] == "application/json")
        }
    }

    @Test("requests made at once share one connection, which is made once")
    func sharing() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                link.answer("for \(request.path)", on: request.streamID)
            }
            defer { peer.close() }
            let address = peer.address
            let answers = (0..<50).map { index in
                loop.start { try await client.send(.get(address, .http2, "/\(index)")).text() }
            }
            for (index, answer) in answers.enumerated() { #expect(try await answer.wait() == "for /\(index)") }
            #expect(peer.links.count == 1)
            #expect(client.openConnections == 1)
        }
    }

    @Test("a full connection is joined by another, at our limit or at the peer's", arguments: [nil, 8] as [UInt32?])
    func overflow(peerLimit: UInt32?) async throws {
        var options = HTTPClient.Options()
        options.streamsPerConnection = 16
        try await fetching(options) { loop, client in
            let peer = try HTTP2Peer(loop) { _, _ in }
            peer.settings = peerLimit.map { [(id: UInt16(3), value: $0)] } ?? []
            defer { peer.close() }
            let address = peer.address
            // The first tells the client what the peer allows.
            let first = loop.start { try await client.send(.get(address, .http2, "/first")).text() }
            await loop.wait { peer.links.first?.requests.count == 1 }
            peer.links.first?.answer("ok", on: 1)
            #expect(try await first.wait() == "ok")
            let answers = (0..<40).map { index in
                loop.start { try await client.send(.get(address, .http2, "/\(index)")).text() }
            }
            let limit = Int(peerLimit ?? 16)
            await loop.wait { peer.links.reduce(0) { $0 + $1.order.count } == 41 }
            #expect(peer.links.count == (40 + limit - 1) / limit)
            for link in peer.links {
                let open = link.order.filter { $0 != 1 || link.requests[$0]?.path != "/first" }
                #expect(open.count <= limit)
                for id in open { link.answer("ok", on: id) }
            }
            for answer in answers { #expect(try await answer.wait() == "ok") }
        }
    }

    @Test("an answer without a body, and one to HEAD, end with their head")
    func noBody() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                link.head(
                    request.path == "/204" ? 204 : 200,
                    [("content-length", "5")].filter { _ in request.path == "/head" },
                    on: request.streamID,
                    isEnd: true
                )
            }
            defer { peer.close() }
            #expect(try await client.send(.get(peer.address, .http2, "/204")).text() == "")
            var head = FetchRequest.get(peer.address, .http2, "/head")
            head.head.method = "HEAD"
            let response = try await client.send(head)
            #expect(response.head.headers["content-length"] == "5")
            #expect(try await response.text() == "")
        }
    }

    @Test("interim answers are swallowed, trailers dropped")
    func interimAndTrailers() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in
                link.head(100, on: request.streamID)
                link.head(103, [("link", "</x>")], on: request.streamID)
                link.head(200, [("x-final", "yes")], on: request.streamID)
                link.body(Array("body".utf8), on: request.streamID, isEnd: false)
                link.headers([("x-trailer", "late")], on: request.streamID, isEnd: true)
            }
            defer { peer.close() }
            let response = try await client.send(.get(peer.address, .http2))
            #expect(response.head.status == 200)
            #expect(response.head.headers.strings.map(\.name) == ["x-final"])
            #expect(try await response.text() == "body")
            #expect(response.head.headers["x-trailer"] == nil)
        }
    }

    @Test("101 is an error")
    func switching() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in link.head(101, on: request.streamID) }
            defer { peer.close() }
            guard case .protocolViolation = await client.failure(of: .get(peer.address, .http2)) else {
                Issue.record("taken for an answer")
                return
            }
        }
    }

    @Test("pieces are handed over as they arrive, straight from the socket")
    func streaming() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in link.head(200, on: request.streamID) }
            defer { peer.close() }
            let reading = Reading(try await client.send(.get(peer.address, .http2)))
            let link = try #require(peer.links.first)
            for index in 0..<10 {
                link.body(Array("event \(index)\n".utf8), on: 1, isEnd: index == 9)
                await loop.wait { reading.pieces == index + 1 }
                #expect(reading.text.hasSuffix("event \(index)\n"))
            }
            await loop.wait { reading.isEnded }
            #expect(reading.ends == [nil])
        }
    }

    @Test("an answer that comes before the request is through ends the exchange")
    func earlyAnswer() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { _, _ in }
            peer.creditsRequests = false
            peer.onHead = { link, request in link.answer("too large", 413, on: request.streamID) }
            defer { peer.close() }
            let response = try await client.send(.post(peer.address, .http2, body: pattern(200_000)))
            #expect(response.head.status == 413)
            #expect(try await response.text() == "too large")
            let link = try #require(peer.links.first)
            await loop.wait { link.requests[1]?.resetCode != nil }
            #expect(link.requests[1]?.resetCode == 0)
        }
    }

    @Test("endpoints with different tags do not share a connection")
    func isolation() async throws {
        try await fetching { loop, client in
            let peer = try HTTP2Peer(loop) { link, request in link.answer("ok", on: request.streamID) }
            defer { peer.close() }
            for tag in [1, 2, 1, nil] as [Int64?] {
                var request = FetchRequest.get(peer.address, .http2)
                request.endpoint.isolation = tag
                #expect(try await client.send(request).text() == "ok")
            }
            #expect(peer.links.count == 3)
        }
    }
}
