import HTTPFetching
import HTTPMessages
import Reactor
import Testing

@Suite("Fetching over HTTP/1.1")
struct HTTP1FetchTests {
    @Test("a request goes out whole and its answer comes back whole")
    func roundTrip() async throws {
        try await fetching { loop, client in
            let body = pattern(300_000)
            let peer = try HTTP1Peer(loop) { link, request in
                link.send(
                    "HTTP/1.1 201 Created\r\nX-Kind: a\r\nx-kind: b\r\ncontent-length: \(request.body.count)\r\n\r\n"
                )
                link.stream.write(request.body.reversed())
            }
            defer { peer.close() }
            var request = FetchRequest.post(peer.address, .http1, "/v1/messages?beta=true", body: body)
            request.head.headers.add("X-Api-Key", "secret")
            request.head.headers.add("Connection", "close")
            request.head.headers.add("Content-Length", "7")
            request.head.headers.add("Transfer-Encoding", "chunked")
            let response = try await client.send(request)
            #expect(response.head.status == 201)
            #expect(response.version == .http1)
            #expect(response.head.headers.values("x-kind") == ["a", "b"])
            #expect(try await response.collect(limit: 1 << 20) == body.reversed())
            let seen = try #require(peer.requests.first)
            #expect(seen.body == body)
            #expect(
                seen.lines == [
                    "POST /v1/messages?beta=true HTTP/1.1", "host: 127.0.0.1:\(peer.address.port)",
                    "content-type: application/json", "x-api-key: secret", "content-length: 300000",
                ]
            )
        }
    }

    @Test("a head that would break the request's framing is not sent")
    func injection() async throws {
        try await fetching { loop, client in
            let peer = try HTTP1Peer(loop) { link, _ in link.answer("ok") }
            defer { peer.close() }
            for (name, value) in [("x-a", "b\r\nx-c: d"), ("x a", "b"), ("x-a", "b\0"), ("", "b")] {
                var request = FetchRequest.get(peer.address, .http1)
                request.head.headers.add(name, value)
                #expect(
                    await client.failure(of: request) == .protocolViolation(detail: "request cannot be written")
                )
            }
            #expect(
                await client.failure(of: .get(peer.address, .http1, "/ HTTP/1.1\r\nx: y"))
                    == .protocolViolation(detail: "request cannot be written")
            )
            #expect(peer.requests.isEmpty)
        }
    }

    @Test("one connection serves one request after the other")
    func keepAlive() async throws {
        try await fetching { loop, client in
            let peer = try HTTP1Peer(loop) { link, request in link.answer("for \(request.path)") }
            defer { peer.close() }
            for index in 0..<5 {
                #expect(try await client.send(.get(peer.address, .http1, "/\(index)")).text() == "for /\(index)")
            }
            #expect(peer.links.count == 1)
        }
    }

    @Test("requests at the same time have a connection each, and the next ones use those")
    func parallel() async throws {
        try await fetching { loop, client in
            var held: [HTTP1PeerLink] = []
            let peer = try HTTP1Peer(loop) { link, _ in
                held.append(link)
                if held.count == 5 {
                    for link in held { link.answer("ok") }
                    held = []
                }
            }
            defer { peer.close() }
            let address = peer.address
            for _ in 0..<2 {
                let answers = (0..<5).map { _ in
                    loop.start { try await client.send(.get(address, .http1)).text() }
                }
                for answer in answers { #expect(try await answer.wait() == "ok") }
            }
            #expect(peer.links.count == 5)
        }
    }

    /// What a server may send, what comes out, and whether the connection is used again.
    struct Answer: Sendable, CustomTestStringConvertible {
        let bytes: String
        let body: String
        var method = "GET"
        var isReused = true
        var closes = false
        var testDescription: String { bytes.split(separator: "\r\n").joined(separator: " | ") }
    }
    static let answers = [
        Answer(bytes: "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody", body: "body"),
        Answer(
            bytes: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\nt: v\r\n\r\n",
            body: "body"
        ),
        Answer(bytes: "HTTP/1.1 200 OK\r\n\r\nbody", body: "body", isReused: false, closes: true),
        Answer(
            bytes: "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody",
            body: "body",
            isReused: false
        ),
        Answer(bytes: "HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nbody", body: "body", isReused: false),
        Answer(bytes: "HTTP/1.1 204 No Content\r\n\r\n", body: ""),
        Answer(bytes: "HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\n", body: ""),
        Answer(bytes: "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", body: "", method: "HEAD"),
        Answer(
            bytes:
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody",
            body: "body"
        ),
        Answer(
            bytes: "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbodyHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            body: "body",
            isReused: false
        ),
    ]

    @Test("answers are framed by their length, chunks, the connection's end or nothing", arguments: answers)
    func framing(answer: Answer) async throws {
        try await fetching { loop, client in
            let peer = try HTTP1Peer(loop) { link, request in
                guard request.path == "/" else { return link.answer("next") }
                link.send(answer.bytes)
                if answer.closes { link.stream.close() }
            }
            defer { peer.close() }
            var request = FetchRequest.get(peer.address, .http1)
            request.head.method = answer.method
            #expect(try await client.send(request).text() == answer.body)
            #expect(try await client.send(.get(peer.address, .http1, "/next")).text() == "next")
            #expect(peer.links.count == (answer.isReused ? 1 : 2))
        }
    }

    @Test("answers may be split anywhere", arguments: answers.prefix(9))
    func split(answer: Answer) async throws {
        try await fetching { loop, client in
            let bytes = Array(answer.bytes.utf8)
            var offset = 1
            let peer = try HTTP1Peer(loop) { link, _ in
                link.stream.write(Array(bytes[..<offset]))
                loop.spawn {
                    await loop.sleep(.milliseconds(1))
                    link.stream.write(Array(bytes[offset...]))
                    if answer.closes { link.stream.close() }
                }
            }
            defer { peer.close() }
            while offset < bytes.count {
                var request = FetchRequest.get(peer.address, .http1)
                request.head.method = answer.method
                #expect(try await client.send(request).text() == answer.body)
                offset += 1
            }
        }
    }

    @Test(
        "an answer cut short is an error",
        arguments: [
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbody",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nbody",
            "HTTP/1.1 200 OK\r\ncontent-le", "HTTP/1.1 100 Continue\r\n\r\n", "",
        ]
    )
    func cutShort(bytes: String) async throws {
        try await fetching { loop, client in
            let peer = try HTTP1Peer(loop) { link, _ in
                link.send(bytes)
                link.stream.close()
            }
            defer { peer.close() }
            guard case .connectionLost = await client.failure(of: .get(peer.address, .http1)) else {
                Issue.record("taken for whole")
                return
            }
            #expect(peer.links.count == 1)
        }
    }

    @Test(
        "an answer that breaks the protocol is refused",
        arguments: [
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\ncontent-length: 4\n\nbody", "SSH-2.0-OpenSSH\r\n", "\u{0}\u{1}\u{2}",
            "HTTP/1.1 200 OK\r\nx: " + String(repeating: "v", count: 70_000) + "\r\n\r\n",
            String(repeating: "HTTP/1.1 103 Early Hints\r\n\r\n", count: 100),
        ]
    )
    func violations(bytes: String) async throws {
        try await fetching { loop, client in
            let peer = try HTTP1Peer(loop) { link, _ in link.send(bytes) }
            defer { peer.close() }
            guard case .protocolViolation = await client.failure(of: .get(peer.address, .http1)) else {
                Issue.record("accepted")
                return
            }
        }
    }

    @Test("a kept connection that turns out dead is replaced, and the request sent again")
    func staleConnection() async throws {
        try await fetching { loop, client in
            let peer = try HTTP1Peer(loop) { link, _ in
                if link.requests.count > 1 { link.stream.abort() } else { link.answer("ok") }
            }
            defer { peer.close() }
            for _ in 0..<3 { #expect(try await client.send(.post(peer.address, .http1, body: [1])).text() == "ok") }
            #expect(peer.links.count == 3)
        }
    }

    @Test("a kept connection that the upstream closes is not used again")
    func closedWhileIdle() async throws {
        try await fetching { loop, client in
            let peer = try HTTP1Peer(loop) { link, _ in link.answer("ok") }
            defer { peer.close() }
            #expect(try await client.send(.get(peer.address, .http1)).text() == "ok")
            peer.links.first?.stream.close()
            await loop.wait { client.openConnections == 0 }
            #expect(try await client.send(.get(peer.address, .http1)).text() == "ok")
            #expect(peer.links.map(\.requests.count) == [1, 1])
        }
    }

    @Test("an answer that comes before the request is through ends the exchange and the connection")
    func earlyAnswer() async throws {
        try await fetching { loop, client in
            let peer = try HTTP1Peer(loop) { _, _ in }
            peer.onPartialRequest = { link, _ in
                link.stream.setReading(false)
                link.answer("too large", 413)
            }
            defer { peer.close() }
            let response = try await client.send(.post(peer.address, .http1, body: pattern(32 << 20)))
            #expect(response.head.status == 413)
            #expect(try await response.text() == "too large")
            await loop.wait { client.openConnections == 0 }
            #expect(client.openConnections == 0)
        }
    }
}
