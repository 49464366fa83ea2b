import HTTPMessages
import HTTPServing
import Reactor
import TestSupport
import Testing

@Suite("HTTP/1 callers", .timeLimit(.minutes(15)))
struct HTTP1ServingTests {
    static let get = "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test("requests on one connection are answered one after the other, with length and date")
    func keepsAlive() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { $0.respond(200, $0.request.target) }
            let client = try await server.connect()
            for _ in 0..<3 {
                let answer = try await client.exchange(Self.get)
                #expect(answer.head.hasPrefix("HTTP/1.1 200 OK\r\ncontent-length: 4\r\ndate: "))
                #expect(answer.head.hasSuffix(" GMT"))
                #expect(answer.body == "/a?b")
            }
            #expect(server.server.openConnections == 1)
            #expect(server.server.openExchanges == 0)
            await server.stop()
        }
    }

    @Test("pipelined requests are answered in their order, whichever handler is quicker")
    func pipelining() async throws {
        try await onLoop { loop in
            var running = 0
            var mostRunning = 0
            let server = try TestServer(loop) { exchange in
                running += 1
                mostRunning = max(mostRunning, running)
                if exchange.request.target != "/3" {
                    await loop.sleep(.milliseconds(exchange.request.target == "/0" ? 20 : 1))
                }
                let body = try? await exchange.collectBody(limit: 100)
                running -= 1
                exchange.respond(200, exchange.request.target + String(decoding: body ?? [], as: UTF8.self))
            }
            let client = try await server.connect()
            client.send(
                (0..<5).map { "POST /\($0) HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n-b\($0)" }.joined()
            )
            for index in 0..<5 { #expect(try await client.answer().body == "/\(index)-b\(index)") }
            #expect(mostRunning == 1)
            await server.stop()
        }
    }

    @Test("many pipelined requests in pieces of every size are all answered", arguments: [1, 7, 64, 1000])
    func pipelinedPieces(size: Int) async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                if exchange.request.target.hasSuffix("3") { await loop.sleep(.zero) }
                exchange.respond(200, exchange.request.target)
            }
            let client = try await server.connect()
            let input = [UInt8]((0..<100).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined().utf8)
            for start in stride(from: 0, to: input.count, by: size) {
                client.send([UInt8](input[start..<min(start + size, input.count)]))
                if start % 16 == 0 { await loop.sleep(.zero) }
            }
            for index in 0..<100 { #expect(try await client.answer().body == "/\(index)") }
            await server.stop()
        }
    }

    @Test("HEAD is answered without a body but with its length, 204 and 304 without either")
    func noBodies() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                switch exchange.request.target {
                case "/whole": exchange.respond(200, "whole")
                case "/told":
                    exchange.respond(HTTPResponseHead(status: 200, headers: ["content-length": "77"]), body: [])
                case "/pieces":
                    exchange.startResponse(HTTPResponseHead(status: 200))
                    exchange.write("pieces")
                    exchange.finish()
                case "/204": exchange.respond(204, "not sent")
                default: exchange.respond(304, "")
                }
            }
            let client = try await server.connect()
            for (target, length) in [("/whole", "5"), ("/told", "77")] {
                client.send("HEAD \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
                try await client.wait(for: "\r\n\r\n")
                #expect(client.text.contains("content-length: \(length)\r\n"))
                #expect(client.text.hasSuffix("\r\n\r\n"))
                client.forget()
            }
            client.send("HEAD /pieces HTTP/1.1\r\nHost: a\r\n\r\nGET /204 HTTP/1.1\r\nHost: a\r\n\r\n")
            client.send("GET /304 HTTP/1.1\r\nHost: a\r\n\r\nGET /whole HTTP/1.1\r\nHost: a\r\n\r\n")
            try await client.wait(for: "whole")
            #expect(!client.text.contains("pieces"))
            #expect(!client.text.contains("not sent"))
            #expect(
                client.text.split(separator: "\r\n").filter { $0.hasPrefix("content-length") } == ["content-length: 5"]
            )
            await server.stop()
        }
    }

    @Test("an answer in pieces is chunked, on HTTP/1.0 it ends with the connection")
    func pieces() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                exchange.startResponse(HTTPResponseHead(status: 200, headers: ["x": "y"]))
                exchange.write("hello ")
                await loop.sleep(.milliseconds(1))
                exchange.write("0123456789abcdef0123456789")
                exchange.finish()
            }
            let client = try await server.connect()
            client.send(Self.get)
            try await client.wait(for: "0\r\n\r\n")
            #expect(client.text.contains("x: y\r\ntransfer-encoding: chunked\r\n"))
            #expect(client.text.hasSuffix("\r\n\r\n6\r\nhello \r\n1a\r\n0123456789abcdef0123456789\r\n0\r\n\r\n"))
            let old = try await server.connect()
            old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            let rest = try await old.rest()
            #expect(rest.contains("connection: close\r\n"))
            #expect(!rest.contains("chunked"))
            #expect(rest.hasSuffix("\r\n\r\nhello 0123456789abcdef0123456789"))
            await server.stop()
        }
    }

    @Test("the connection lives as long as the caller wants")
    func connectionField() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { $0.respond(200, "ok") }
            let closing = try await server.connect()
            closing.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(try await closing.rest().contains("connection: close\r\n"))
            let old = try await server.connect()
            old.send("GET / HTTP/1.0\r\n\r\n")
            #expect(try await old.rest().contains("connection: close\r\n"))
            let oldKept = try await server.connect()
            for _ in 0..<2 {
                let answer = try await oldKept.exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                #expect(answer.head.contains("connection: keep-alive"))
            }
            await server.stop()
        }
    }

    @Test("100 Continue is sent when the handler asks for the body, and not before")
    func continues() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                guard exchange.request.target == "/yes" else { return exchange.respond(401, "no") }
                await loop.sleep(.milliseconds(5))
                let body = try? await exchange.collectBody(limit: 100)
                exchange.respond(200, String(decoding: body ?? [], as: UTF8.self))
            }
            let client = try await server.connect()
            client.send("PUT /yes HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            #expect(client.text.isEmpty)
            try await client.wait(for: "HTTP/1.1 100 Continue\r\n\r\n")
            client.send("hello")
            try await client.wait(for: "hello")
            // A caller that did not wait is not told.
            client.forget()
            let eager = try await client.exchange(
                "PUT /yes HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
            )
            #expect(eager.status == 200)
            // Refused before it was asked for: the body may or may not follow, so the connection ends.
            client.send("PUT /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            let rest = try await client.rest()
            #expect(rest.hasPrefix("HTTP/1.1 401 Unauthorized\r\n"))
            #expect(rest.contains("connection: close"))
            await server.stop()
        }
    }

    @Test(
        "what cannot be served is answered and the connection closed",
        arguments: [
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405), ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\nx", 417),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "y", count: 2000) + "\r\n\r\n", 431),
            ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 505), ("\u{16}\u{3}\u{1}", 400),
        ]
    )
    func refusals(request: String, status: Int) async throws {
        try await onLoop { loop in
            let server = try TestServer(loop, limits: { $0.headerBytes = 1024 }) { exchange in
                let body = try? await exchange.collectBody(limit: 100)
                exchange.respond(200, "\(body?.count ?? -1)")
            }
            let client = try await server.connect()
            // Before it, a good one: the fault of a later request does not touch it.
            client.send(Self.get + request)
            let rest = try await client.rest()
            #expect(rest.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(rest.contains("HTTP/1.1 \(status) "))
            #expect(rest.contains("connection: close\r\n"))
            #expect(server.server.openExchanges == 0)
            await server.stop()
        }
    }

    @Test("h2c and websocket upgrades are ignored")
    func upgrades() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { $0.respond(200, "plain") }
            let client = try await server.connect()
            for upgrade in ["h2c", "websocket"] {
                let answer = try await client.exchange(
                    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: \(upgrade)\r\n"
                        + "HTTP2-Settings: AAMAAABk\r\n\r\n"
                )
                #expect(answer.body == "plain")
            }
            await server.stop()
        }
    }

    @Test("bodies arrive whole, with room for a parser behind them", arguments: [true, false])
    func bodies(isChunked: Bool) async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                let body = (try? await exchange.collectBody(limit: 10_000_000)) ?? []
                let isRight = body == patterned(body.count)
                exchange.respond(200, "\(body.count) \(isRight) \(body.capacity - body.count >= 64)")
            }
            let client = try await server.connect()
            for count in [0, 1, 63, 64, 65_535, 65_536, 3_000_000] {
                let body = patterned(count)
                if isChunked {
                    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for start in stride(from: 0, to: count, by: 10_007) {
                        let piece = body[start..<min(start + 10_007, count)]
                        client.send(String(piece.count, radix: 16) + "\r\n")
                        client.send([UInt8](piece))
                        client.send("\r\n")
                    }
                    client.send("0\r\n\r\n")
                } else {
                    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(count)\r\n\r\n")
                    client.send(body)
                }
                #expect(try await client.answer().body == "\(count) true true")
            }
            await server.stop()
        }
    }

    @Test("a body beyond a limit is 413, at once when it is announced", arguments: [true, false], [true, false])
    func tooLarge(isAnnounced: Bool, isServersLimit: Bool) async throws {
        try await onLoop { loop in
            var errors: [RequestBodyError] = []
            let server = try TestServer(loop, limits: { if isServersLimit { $0.bodyBytes = 1000 } }) { exchange in
                do {
                    _ = try await exchange.collectBody(limit: isServersLimit ? 1_000_000 : 1000)
                    exchange.respond(200, "")
                } catch {
                    if let error = error as? RequestBodyError { errors.append(error) }
                }
            }
            let client = try await server.connect()
            if isAnnounced {
                client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
            } else {
                client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n")
                client.send([UInt8](repeating: 0, count: 1000))
                client.send("\r\n")
                await loop.sleep(.milliseconds(5))
                #expect(client.text.isEmpty)
                client.send("1\r\nx\r\n")
            }
            let rest = try await client.rest()
            #expect(rest.hasPrefix("HTTP/1.1 413 "))
            #expect(rest.contains("connection: close"))
            #expect(errors == [.tooLarge])
            await server.stop()
        }
    }

    @Test("a body that has arrived whole before its handler names the limit is held to it", arguments: [100, 101])
    func tooLargeAlready(count: Int) async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                // As a handler does that looks its caller's key up first.
                await loop.sleep(.milliseconds(20))
                _ = try? await exchange.collectBody(limit: 100)
                if exchange.answeredStatus == nil, count == 100 { exchange.respond(200, "") }
            }
            let client = try await server.connect()
            client.send(
                "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: \(count)\r\n\r\n"
                    + String(repeating: "x", count: count)
            )
            #expect(try await client.rest().hasPrefix(count > 100 ? "HTTP/1.1 413 " : "HTTP/1.1 200 "))
            await server.stop()
        }
    }

    @Test("a body of which too much has arrived with its head is refused at once, while the rest is still to come")
    func tooLargeInPart() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in _ = try? await exchange.collectBody(limit: 100) }
            let client = try await server.connect()
            client.send(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n"
                    + String(repeating: "x", count: 101) + "\r\n"
            )
            #expect(try await client.rest().hasPrefix("HTTP/1.1 413 "))
            await server.stop()
        }
    }

    @Test("a handler without an answer is 500")
    func noAnswer() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { _ in }
            let client = try await server.connect()
            let answer = try await client.exchange(Self.get)
            #expect(answer.status == 500)
            #expect(answer.body.isEmpty)
            await server.stop()
        }
    }

    @Test("an answer may be finished after its handler has returned")
    func finishedLater() async throws {
        try await onLoop { loop in
            var kept: ServerExchange?
            let server = try TestServer(loop) { exchange in
                kept = exchange
                exchange.startResponse(HTTPResponseHead(status: 200))
            }
            let client = try await server.connect()
            client.send(Self.get)
            try await client.wait(for: "\r\n\r\n")
            #expect(kept?.isResponseStarted == true)
            #expect(kept?.isFinished == false)
            #expect(server.server.openExchanges == 1)
            kept?.write("later")
            kept?.finish()
            #expect(kept?.isFinished == true)
            try await client.wait(for: "5\r\nlater\r\n0\r\n\r\n")
            #expect(server.server.openExchanges == 0)
            // Nothing of this reaches the caller.
            kept?.write("more")
            kept?.finish()
            kept?.cut()
            kept?.respond(200, "again")
            #expect(try await client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 200)
            await server.stop()
        }
    }

    @Test("a cut answer is seen to be incomplete", arguments: [true, false])
    func cuts(hasStarted: Bool) async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                if hasStarted {
                    exchange.startResponse(HTTPResponseHead(status: 200))
                    exchange.write("half")
                }
                exchange.cut()
            }
            let client = try await server.connect()
            client.send(Self.get)
            let rest = try await client.rest()
            #expect(rest.contains("4\r\nhalf\r\n") == hasStarted)
            #expect(!rest.contains("0\r\n\r\n"))
            #expect(server.server.openExchanges == 0)
            await server.stop()
        }
    }

    @Test("a small unread body costs the connection nothing, a large one its life")
    func unreadBodies() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { $0.respond(403, "no") }
            let client = try await server.connect()
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n")
            #expect(try await client.answer().status == 403)
            client.send([UInt8](repeating: 1, count: 5000))
            #expect(try await client.exchange(Self.get).status == 403)
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n")
            #expect(try await client.rest().contains("connection: close"))
            await server.stop()
        }
    }

    @Test("an announced length is kept: what is too much is not sent, what is too little ends the connection")
    func announcedLengths() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                exchange.startResponse(HTTPResponseHead(status: 200, headers: ["content-length": "5"]))
                exchange.write(exchange.request.target == "/more" ? "hello world" : "hel")
                exchange.finish()
            }
            let more = try await server.connect()
            more.send("GET /more HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await more.rest().hasSuffix("\r\n\r\nhello"))
            let less = try await server.connect()
            less.send("GET /less HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await less.rest().hasSuffix("\r\n\r\nhel"))
            await server.stop()
        }
    }

    @Test("fields that would break the message, or that are the server's to say, are left out")
    func fields() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                exchange.respond(
                    HTTPResponseHead(
                        status: 200,
                        headers: [
                            "evil": "a\r\nset-cookie: b", "connection": "x", "transfer-encoding": "chunked",
                            "content-length": "999", "keep-alive": "x", "date": "today", "good": "caf\u{e9}",
                        ]
                    ),
                    body: [UInt8]("ok".utf8)
                )
            }
            let client = try await server.connect()
            let answer = try await client.exchange(Self.get)
            #expect(answer.head == "HTTP/1.1 200 OK\r\ndate: today\r\ngood: caf\u{e9}\r\ncontent-length: 2")
            await server.stop()
        }
    }

    @Test("beyond the limit connections are refused by closing them, and only then")
    func connectionLimit() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop, limits: { $0.connections = 2 }) { $0.respond(200, "ok") }
            let first = try await server.connect()
            let second = try await server.connect()
            #expect(try await first.exchange(Self.get).status == 200)
            #expect(try await second.exchange(Self.get).status == 200)
            let third = try await server.connect()
            #expect(try await third.rest().isEmpty)
            first.stream.close()
            try await server.until { server.server.openConnections == 1 }
            let fourth = try await server.connect()
            #expect(try await fourth.exchange(Self.get).status == 200)
            await server.stop()
        }
    }
}

extension RawClient {
    /// Forgets what was received.
    func forget() { discard(received.count) }
}
