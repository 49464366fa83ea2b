import CNGHTTP2
import Glibc
import HTTPMessages
import HTTPServing
import Reactor
import TestSupport
import Testing

extension TestServer {
    func connectHTTP2(streamWindow: UInt32 = 1 << 20) async throws -> HTTP2TestClient {
        let stream = try await TCPStream.connect(loop, to: address, timeout: .seconds(30))
        return try HTTP2TestClient(loop, stream, streamWindow: streamWindow)
    }
}

@Suite("HTTP/2 callers", .timeLimit(.minutes(15)))
struct HTTP2ServingTests {
    @Test("many streams on one connection are answered, each with what it asked for")
    func manyStreams() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                let body = (try? await exchange.collectBody(limit: 1_000_000)) ?? []
                if exchange.request.target.hasSuffix("3") { await loop.sleep(.milliseconds(1)) }
                exchange.respond(200, "\(exchange.request.method) \(exchange.request.target) \(body.count)")
            }
            let client = try await server.connectHTTP2()
            var ids: [Int32] = []
            for index in 0..<200 {
                ids.append(
                    client.request(
                        "/\(index)",
                        method: index % 2 == 0 ? "GET" : "POST",
                        body: index % 2 == 0 ? nil : [UInt8](repeating: 1, count: index * 10)
                    )
                )
            }
            for (index, id) in ids.enumerated() {
                let response = try await client.response(id)
                #expect(response.status == 200)
                #expect(response.text == (index % 2 == 0 ? "GET /\(index) 0" : "POST /\(index) \(index * 10)"))
                #expect(response.headers["content-length"] == "\(response.body.count)")
                #expect(response.headers["date"]?.hasSuffix(" GMT") == true)
                #expect(response.closeCode == 0)
            }
            #expect(server.server.openExchanges == 0)
            #expect(server.server.openConnections == 1)
            #expect(client.settings[NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue] == 256)
            await server.stop()
        }
    }

    @Test("the request looks as it does on HTTP/1: host, fields, version")
    func request() async throws {
        try await onLoop { loop in
            var seen: ServerExchange?
            let server = try TestServer(loop) { exchange in
                seen = exchange
                exchange.respond(200, "")
            }
            let client = try await server.connectHTTP2()
            let id = client.request("/a?b=c", headers: ["x-test": "caf\u{e9}", "accept": "*/*"])
            #expect(try await client.response(id).status == 200)
            #expect(seen?.request.target == "/a?b=c")
            #expect(seen?.request.headers["x-test"] == "caf\u{e9}")
            #expect(seen?.request.headers["host"] == "test")
            #expect(seen?.version == .http2)
            #expect(seen?.isTLS == false)
            #expect(seen?.peer?.ip == "127.0.0.1")
            await server.stop()
        }
    }

    @Test("the preface is known however it is cut, and what only begins like it is HTTP/1")
    func preface() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { $0.respond(200, "\($0.version)") }
            let input = http2Preface + frame(4) + frame(1, flags: 5, stream: 1, getBlock)
            for cut in stride(from: 0, through: input.count, by: 1) {
                let client = try await server.connect()
                client.send([UInt8](input[..<cut]))
                await loop.sleep(.zero)
                client.send([UInt8](input[cut...]))
                try await client.wait(for: "http2")
                client.stream.abort()
            }
            for method in ["PUT", "POST", "PATCH", "PROPFIND"] {
                let client = try await server.connect()
                client.send("P")
                await loop.sleep(.zero)
                let answer = try await client.exchange(
                    "\(method.dropFirst()) / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                )
                #expect(answer.body == "http1")
                client.stream.abort()
            }
            await server.stop()
        }
    }

    @Test("pieces arrive as they are written, and an answer may be finished later")
    func pieces() async throws {
        try await onLoop { loop in
            var kept: ServerExchange?
            let server = try TestServer(loop) { exchange in
                kept = exchange
                exchange.startResponse(HTTPResponseHead(status: 200, headers: ["x": "y", "connection": "z"]))
            }
            let client = try await server.connectHTTP2()
            let id = client.request("/")
            try await client.wait { $0.responses[id]?.status == 200 }
            #expect(client.responses[id]?.headers["x"] == "y")
            #expect(client.responses[id]?.headers["connection"] == nil)
            for index in 1...5 {
                kept?.write("piece \(index)\n")
                try await client.wait { $0.responses[id]?.text.hasSuffix("piece \(index)\n") == true }
            }
            #expect(client.responses[id]?.isEnded == false)
            kept?.write("last")
            kept?.finish()
            let response = try await client.response(id)
            #expect(response.isEnded)
            #expect(response.text.hasSuffix("piece 5\nlast"))
            #expect(server.server.openExchanges == 0)
            await server.stop()
        }
    }

    @Test("large bodies go both ways whole")
    func largeBodies() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                let body = (try? await exchange.collectBody(limit: 100_000_000)) ?? []
                exchange.respond(HTTPResponseHead(status: 200), body: body)
            }
            let client = try await server.connectHTTP2()
            let body = patterned(3_000_000)
            let first = client.request("/", method: "POST", body: body)
            let second = client.request("/", method: "POST", headers: ["content-length": "3000000"], body: body)
            #expect(try await client.response(first).body == body)
            #expect(try await client.response(second).body == body)
            await server.stop()
        }
    }

    @Test("HEAD, 204 and 304 have no body")
    func noBodies() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                switch exchange.request.target {
                case "/whole": exchange.respond(200, "whole")
                case "/pieces":
                    exchange.startResponse(HTTPResponseHead(status: 200))
                    exchange.write("pieces")
                    exchange.finish()
                default: exchange.respond(Int(exchange.request.target.dropFirst()) ?? 0, "not sent")
                }
            }
            let client = try await server.connectHTTP2()
            let head = try await client.response(client.request("/whole", method: "HEAD"))
            #expect(head.headers["content-length"] == "5")
            #expect(head.body.isEmpty)
            #expect(head.closeCode == 0)
            #expect(try await client.response(client.request("/pieces", method: "HEAD")).body.isEmpty)
            for status in [204, 304] {
                let response = try await client.get("/\(status)")
                #expect(response.status == status)
                #expect(response.body.isEmpty)
                #expect(response.headers["content-length"] == nil)
            }
            #expect(try await client.get("/whole").text == "whole")
            await server.stop()
        }
    }

    @Test("what cannot be served is answered on its stream, and the others go on")
    func refusals() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop, limits: { $0.headerBytes = 2000 }) { exchange in
                let body = try? await exchange.collectBody(limit: 100)
                if let body { exchange.respond(200, "\(body.count)") }
            }
            let client = try await server.connectHTTP2()
            let expect = client.request("/", method: "PUT", headers: ["expect": "miracles"], body: [1], isLast: false)
            #expect(try await client.response(expect).status == 417)
            let large = client.request("/", headers: ["x": String(repeating: "y", count: 4000)])
            #expect(try await client.response(large).status == 431)
            let announced = client.request(
                "/",
                method: "PUT",
                headers: ["content-length": "101"],
                body: [1],
                isLast: false
            )
            let response = try await client.response(announced)
            #expect(response.status == 413)
            // Answered whole, then told to stop sending (RFC 9113, 8.1).
            #expect(response.isEnded)
            #expect(response.closeCode == 0)
            let trickled = client.request("/", method: "PUT", body: [UInt8](repeating: 1, count: 101), isLast: false)
            #expect(try await client.response(trickled).status == 413)
            #expect(try await client.get("/").status == 200)
            #expect(client.goaways.isEmpty)
            await server.stop()
        }
    }

    @Test("100 Continue is sent when the handler asks for the body")
    func continues() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                guard exchange.request.target == "/yes" else { return exchange.respond(401, "") }
                let body = try? await exchange.collectBody(limit: 100)
                exchange.respond(200, "\(body?.count ?? -1)")
            }
            let client = try await server.connectHTTP2()
            let yes = client.request(
                "/yes",
                method: "PUT",
                headers: ["expect": "100-continue"],
                body: [],
                isLast: false
            )
            try await client.wait { $0.responses[yes]?.interim == [100] }
            client.send([1, 2, 3], on: yes, isLast: true)
            #expect(try await client.response(yes).text == "3")
            let no = client.request("/no", method: "PUT", headers: ["expect": "100-continue"], body: [], isLast: false)
            let response = try await client.response(no)
            #expect(response.status == 401)
            #expect(response.interim.isEmpty)
            await server.stop()
        }
    }

    @Test("a caller that resets its stream is gone, once; the connection and its other streams go on")
    func callerGone() async throws {
        try await onLoop { loop in
            var gone = 0
            var kept: ServerExchange?
            let server = try TestServer(loop) { exchange in
                guard exchange.request.target == "/kept" else { return exchange.respond(200, "ok") }
                kept = exchange
                exchange.onCallerGone = { gone += 1 }
                exchange.startResponse(HTTPResponseHead(status: 200))
                exchange.write("begun")
            }
            let client = try await server.connectHTTP2()
            let id = client.request("/kept")
            try await client.wait { $0.responses[id]?.text == "begun" }
            client.reset(id)
            try await server.until { gone == 1 }
            kept?.write("more")
            kept?.finish()
            #expect(kept?.isCallerGone == true)
            #expect(try await client.get("/").text == "ok")
            #expect(gone == 1)
            #expect(server.server.openExchanges == 0)
            // The whole connection, with its streams.
            client.request("/kept")
            try await server.until { server.server.openExchanges == 1 }
            client.stream.close()
            try await server.until { gone == 2 }
            #expect(server.server.openConnections == 0)
            await server.stop()
        }
    }

    @Test("a cut answer ends in RST_STREAM")
    func cuts() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                if exchange.request.target == "/started" {
                    exchange.startResponse(HTTPResponseHead(status: 200))
                    exchange.write("half")
                    await loop.sleep(.milliseconds(1))
                }
                exchange.cut()
            }
            let client = try await server.connectHTTP2()
            for path in ["/started", "/not"] {
                let response = try await client.get(path)
                #expect(response.closeCode == NGHTTP2_INTERNAL_ERROR.rawValue)
                #expect(!response.isEnded)
            }
            #expect(server.server.openExchanges == 0)
            await server.stop()
        }
    }

    @Test("a handler without an answer is 500")
    func noAnswer() async throws {
        try await onLoop { loop in
            let server = try TestServer(loop) { _ in }
            let client = try await server.connectHTTP2()
            let response = try await client.get("/")
            #expect(response.status == 500)
            #expect(response.body.isEmpty)
            await server.stop()
        }
    }

    @Test("a caller that reads one stream slowly gets its other streams at full speed, and memory stays bounded")
    func backPressure() async throws {
        try await onLoop { loop in
            let answer = LargeAnswer(bytes: 5_000_000)
            let server = try TestServer(loop) { exchange in
                guard exchange.request.target == "/big" else { return exchange.respond(200, "small") }
                answer.give(to: exchange)
            }
            let client = try await server.connectHTTP2(streamWindow: 100_000)
            client.creditsStreams = false
            let big = client.request("/big")
            try await client.wait { $0.responses[big]?.body.count == 100_000 }
            for _ in 0..<20 { #expect(try await client.get("/").text == "small") }
            #expect(client.responses[big]?.body.count == 100_000)
            #expect(answer.written < 100_000 + 2 * 65_536 + 2 * LargeAnswer.piece.count)
            client.creditsStreams = true
            client.credit(big)
            let expected =
                (answer.total + LargeAnswer.piece.count - 1) / LargeAnswer.piece.count * LargeAnswer.piece.count
            #expect(try await client.response(big).body.count == expected)
            #expect(answer.mostPending < 65_536 + 3 * LargeAnswer.piece.count)
            await server.stop()
        }
    }

    @Test("a body nobody asks for is held only up to its window")
    func unwantedBody() async throws {
        try await onLoop { loop in
            let go = Promise<Void>()
            let server = try TestServer(loop) { exchange in
                guard exchange.request.target == "/slow" else { return exchange.respond(200, "ok") }
                while !go.isFulfilled { await loop.sleep(.milliseconds(1)) }
                let body = try? await exchange.collectBody(limit: 10_000_000)
                exchange.respond(200, "\(body?.count ?? -1)")
            }
            let client = try await server.connectHTTP2()
            // Six streams full of unread bytes exceed the connection's window, which must not hinder the seventh.
            let ids = (0..<6).map { _ in
                client.request("/slow", method: "POST", body: [UInt8](repeating: 1, count: 1_000_000))
            }
            for _ in 0..<5 { #expect(try await client.get("/").status == 200) }
            await loop.sleep(.milliseconds(30))
            for id in ids { #expect(client.unsent(id) == 1_000_000 - 256 * 1024) }
            go.succeed(())
            for id in ids { #expect(try await client.response(id).text == "1000000") }
            await server.stop()
        }
    }

    @Test("curl and nghttp are served", arguments: ["curl", "nghttp"])
    func tools(tool: String) async throws {
        let outputs = try await onLoop { loop in
            let server = try TestServer(loop) { exchange in
                let body = (try? await exchange.collectBody(limit: 10_000_000)) ?? []
                exchange.respond(200, "got \(body.count) by \(exchange.version)\n")
            }
            let url = "http://\(server.address)/"
            let commands =
                tool == "curl"
                ? [
                    "curl -s --http2-prior-knowledge \(url)", "curl -s --http2-prior-knowledge -d hello \(url)",
                    "curl -s --http2 -d hello \(url)", "curl -s --http1.0 \(url)",
                    "head -c 2000000 /dev/zero | curl -s --http2-prior-knowledge --data-binary @- \(url)",
                    "head -c 2000000 /dev/zero | curl -s -H 'transfer-encoding: chunked' --data-binary @- \(url)",
                ] : ["nghttp \(url)", "nghttp -m 5 \(url)"]
            var outputs: [String] = []
            for command in commands { outputs.append(await loop.offload { run(command) }) }
            await server.stop()
            return outputs
        }
        guard !outputs.contains("") else {
            return withKnownIssue("\(tool) is not installed", isIntermittent: true) { Issue.record("\(outputs)") }
        }
        #expect(
            outputs
                == (tool == "curl"
                    ? [
                        "got 0 by http2\n", "got 5 by http2\n", "got 5 by http1\n", "got 0 by http1\n",
                        "got 2000000 by http2\n", "got 2000000 by http1\n",
                    ] : ["got 0 by http2\n", String(repeating: "got 0 by http2\n", count: 5)])
        )
    }
}

/// The standard output of a shell command.
private func run(_ command: String) -> String {
    guard let pipe = popen(command, "r") else { return "" }
    defer { pclose(pipe) }
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while case let count = fread(&buffer, 1, buffer.count, pipe), count > 0 { output += buffer[..<count] }
    return String(decoding: output, as: UTF8.self)
}
