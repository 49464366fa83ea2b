import HTTPMessages
import HTTPWire
import Testing

@Suite("The HTTP/1.1 parser")
struct HTTP1ParserTests {
    static let requests: [String] = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET /after/an/empty/line?x=%20 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /v1/messages HTTP/1.1\r\nHOST: localhost:8080\r\nContent-Type:application/json\r\n"
            + "Content-Length:  11  \r\n\r\nhello worldGET /next HTTP/1.1\r\nhost: a\r\nempty:\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
            + "5\r\nhello\r\n1;ext=\"a b\"\r\n \r\n000A\r\n0123456789\r\n0\r\nTrailer: dropped\r\nx: y\r\n\r\n"
            + "HEAD /next HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /old HTTP/1.0\r\n\r\n",
        "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /old HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
            + "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc",
        "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nok",
        "GET http://example.com:80/a?b HTTP/1.1\r\nHost: example.com:80\r\n\r\n",
        "GET http://example.com?b HTTP/1.1\r\nHost: EXAMPLE.com\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\nX: caf\u{e9} \t tab\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\nswallowed afterwards",
    ]

    @Test("a request cut anywhere reads the same as a whole one", arguments: requests)
    func requestsSplit(text: String) {
        let input = [UInt8](text.utf8)
        let whole = ParserTrace(.requests, input, finishes: true)
        #expect(whole.error == nil)
        #expect(whole.ends > 0)
        for cut in 0...input.count {
            let split = ParserTrace(.requests, input, cuts: [cut], finishes: true)
            #expect(split.error == nil, "cut at \(cut)")
            #expect(split.events == whole.events, "cut at \(cut)")
        }
        let bytewise = ParserTrace(.requests, input, cuts: Array(input.indices), finishes: true)
        #expect(bytewise.events == whole.events)
        #expect(bytewise.error == nil)
    }

    static let responses: [String] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100\r\n\r\nHTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"
            + "3\r\nabc\r\n0\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nuntil the connection ends",
        "HTTP/1.0 200 OK\r\n\r\nuntil the connection ends",
        "HTTP/1.1 529 Site is overloaded\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
    ]

    @Test("a response cut anywhere reads the same as a whole one", arguments: responses)
    func responsesSplit(text: String) {
        let input = [UInt8](text.utf8)
        let whole = ParserTrace(.responses, input, finishes: true)
        #expect(whole.error == nil)
        #expect(whole.ends > 0)
        for cut in 0...input.count {
            let split = ParserTrace(.responses, input, cuts: [cut], finishes: true)
            #expect(split.error == nil, "cut at \(cut)")
            #expect(split.events == whole.events, "cut at \(cut)")
        }
        let bytewise = ParserTrace(.responses, input, cuts: Array(input.indices), finishes: true)
        #expect(bytewise.events == whole.events)
    }

    @Test("heads, bodies and ends come in order, names lowered, values trimmed, trailers dropped")
    func contents() {
        let trace = ParserTrace(.requests, [UInt8](Self.requests[3].utf8))
        #expect(
            trace.events == [
                .request(
                    HTTPRequestHead(
                        method: "POST",
                        target: "/",
                        headers: ["host": "a", "transfer-encoding": "Chunked"]
                    ),
                    keepsAlive: true,
                    expectsContinue: false
                ),
                .body([UInt8]("hello 0123456789".utf8)), .end,
                .request(
                    HTTPRequestHead(method: "HEAD", target: "/next", headers: ["host": "a"]),
                    keepsAlive: true,
                    expectsContinue: false
                ), .end,
            ]
        )
    }

    @Test("an absolute target is brought into origin form")
    func absoluteForm() {
        let targets = Self.requests[9...10].map { text -> String? in
            guard case .request(let head, _, _) = ParserTrace(.requests, [UInt8](text.utf8)).events.first else {
                return nil
            }
            return head.target
        }
        #expect(targets == ["/a?b", "/?b"])
    }

    static let malformed: [(String, String)] = [
        ("bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
        ("bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
        ("bare LF as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
        ("bare LF inside a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\nZ: w\r\n\r\n"),
        ("bare CR inside a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: w\r\n\r\n"),
        ("bare CR before CRLF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
        ("bare CR in the request line", "GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("folded line, space", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"),
        ("folded line, tab", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n"),
        ("folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        ("space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        ("tab before the colon", "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n"),
        ("no colon", "GET / HTTP/1.1\r\nHost\r\n\r\n"),
        ("empty name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
        ("brackets in a name", "GET / HTTP/1.1\r\nHost: a\r\nx(y): b\r\n\r\n"),
        ("high byte in a name", "GET / HTTP/1.1\r\nHost: a\r\nx\u{e9}: b\r\n\r\n"),
        ("NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nx\0: b\r\n\r\n"),
        ("NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nx: b\0c\r\n\r\n"),
        ("escape in a value", "GET / HTTP/1.1\r\nHost: a\r\nx: b\u{1b}c\r\n\r\n"),
        ("DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nx: long enough for a block \u{7f}\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        ("no host", "GET / HTTP/1.1\r\nX: a\r\n\r\n"),
        ("space in the host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        ("list of hosts", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"),
        ("userinfo in the host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        ("host differs from target", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("TE on HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            "TE with CL",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        (
            "CL with TE",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
        ),
        ("TE gzip, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("TE identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
        ("TE xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("TE chunked, comma", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
        ("TE with a vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n"),
        ("TE empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n"),
        (
            "two TE",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        ("two CL that differ", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        ("two CL that agree", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        ("list of CL", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello"),
        ("signed CL", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
        ("negative CL", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello"),
        ("hexadecimal CL", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"),
        ("CL with a space inside", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\nhello"),
        ("empty CL", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
        ("CL beyond 64 bits", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello"),
        ("CL beyond 60 bits", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\nhello"),
        (
            "chunk size with a space",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nab\r\n0\r\n\r\n"
        ),
        (
            "chunk size after a space",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 2\r\nab\r\n0\r\n\r\n"
        ),
        ("signed chunk size", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nab\r\n0\r\n\r\n"),
        ("0x chunk size", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n"),
        ("empty chunk size", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\nab\r\n0\r\n\r\n"),
        ("chunk size of extensions only", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n;a\r\n\r\n"),
        (
            "chunk size beyond 64 bits",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nab\r\n0\r\n\r\n"
        ),
        (
            "chunk size of 16 digits",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000002\r\nab\r\n0\r\n\r\n"
        ),
        (
            "bare LF after a chunk size",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n"
        ),
        (
            "bare CR after a chunk size",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\rab\r\n0\r\n\r\n"
        ),
        (
            "bare LF in a chunk extension",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;a\nab\r\n0\r\n\r\n"
        ),
        ("bare LF after a chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\n0\r\n\r\n"),
        (
            "chunk longer than said",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n"
        ),
        ("bad trailer", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx y: z\r\n\r\n"),
        ("bare LF in trailers", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: z\n\r\n"),
        ("folded trailer", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: z\r\n y\r\n\r\n"),
        ("no version", "GET /\r\nHost: a\r\n\r\n"),
        ("lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n"),
        ("text after the version", "GET / HTTP/1.1 x\r\nHost: a\r\n\r\n"),
        ("long version", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("tab as separator", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("leading space", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("two leading empty lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("lower-case method", "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("high byte in the target", "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("fragment in the target", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("relative target", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("star and more", "GET *x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("other scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("absolute target without authority", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("TLS on a plain port", "\u{16}\u{3}\u{1}\u{2}"),
        ("a response", "HTTP/1.1 200 OK\r\nHost: a\r\n\r\n"),
    ]

    @Test("anything ambiguous or malformed is refused, however it is cut", arguments: malformed)
    func refuses(name: String, text: String) {
        let input = [UInt8](text.utf8)
        for cut in 0...input.count {
            let trace = ParserTrace(.requests, input, cuts: [cut])
            guard case .malformed = trace.error else {
                Issue.record("\(name), cut at \(cut): \(String(describing: trace.error)) \(trace.events)")
                return
            }
            // Nothing of the message but what came before the fault, and never its end.
            #expect(trace.ends == 0)
        }
    }

    static let malformedResponses: [String] = [
        "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "ICY 200 OK\r\n\r\n", "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    ]

    @Test("malformed responses are refused", arguments: malformedResponses)
    func refusesResponse(text: String) {
        let input = [UInt8](text.utf8)
        for cut in 0...input.count {
            guard case .malformed = ParserTrace(.responses, input, cuts: [cut]).error else {
                Issue.record("cut at \(cut)")
                return
            }
        }
    }

    @Test("versions other than 1.0 and 1.1 are told apart from nonsense", arguments: ["2.0", "1.2", "0.9", "3.0"])
    func versions(version: String) {
        #expect(ParserTrace(.requests, [UInt8]("GET / HTTP/\(version)\r\n\r\n".utf8)).error == .unsupportedVersion)
    }

    @Test("a head beyond the limit is refused whether or not its lines end", arguments: [true, false])
    func headLimit(hasLines: Bool) {
        let trace = ParserTrace(.requests, maximumHeadBytes: 1024)
        trace.feed([UInt8]("GET / HTTP/1.1\r\nHost: a\r\n".utf8)[...])
        for _ in 0..<200 { trace.feed([UInt8]((hasLines ? "x-filler: 12345678\r\n" : "12345678").utf8)[...]) }
        #expect(trace.error == .headTooLarge)
        let exact = "GET / HTTP/1.1\r\nHost: a\r\n"
        let filler = "x: " + String(repeating: "y", count: 1024 - exact.utf8.count - 3 - 4)
        let fits = ParserTrace(.requests, maximumHeadBytes: 1024)
        fits.feed([UInt8]((exact + filler + "\r\n\r\n").utf8)[...])
        #expect(fits.ends == 1)
        let beyond = ParserTrace(.requests, maximumHeadBytes: 1024)
        beyond.feed([UInt8]((exact + filler + "z\r\n\r\n").utf8)[...])
        #expect(beyond.error == .headTooLarge)
    }

    @Test("trailers and chunk extensions are bounded")
    func bounds() {
        let start = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        let trailers = ParserTrace(.requests, maximumHeadBytes: 1024)
        trailers.feed([UInt8]((start + "0\r\n").utf8)[...])
        for _ in 0..<100 { trailers.feed([UInt8]("x-filler: 12345678\r\n".utf8)[...]) }
        #expect(trailers.error == .headTooLarge)
        let extensions = ParserTrace(.requests)
        extensions.feed([UInt8](start.utf8)[...])
        for _ in 0..<1000 { extensions.feed([UInt8]("1;aaaaaaaa\r\nx\r\n".utf8)[...]) }
        #expect(extensions.error == .malformed("chunk extensions"))
    }

    @Test("a parser that pauses takes one message at a time")
    func pauses() {
        let message = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok"
        let input = [UInt8]((message + message + "GET").utf8)
        let trace = ParserTrace(.requests)
        trace.parser.pauseAfterMessage = true
        let first = trace.feed(input[...])
        #expect(first == message.utf8.count)
        #expect(trace.ends == 1)
        #expect(!trace.parser.isInMessage)
        #expect(trace.feed(input[first...]) == message.utf8.count)
        #expect(trace.ends == 2)
        #expect(trace.feed(input[(2 * first)...]) == 3)
        #expect(trace.parser.isInMessage)
    }

    @Test("the answer to HEAD has no body, interim answers before it do not count")
    func answersHead() {
        let input = [UInt8](
            "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                .utf8
        )
        let trace = ParserTrace(.responses, input) { $0.answersHead = true }
        #expect(trace.error == nil)
        #expect(trace.ends == 3)
        #expect(trace.body == "ok")
        #expect(!trace.parser.answersHead)
    }

    @Test(
        "a message cut short by the end of the connection is an error",
        arguments: [
            "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ]
    )
    func cutShort(text: String) {
        let trace = ParserTrace(.requests, [UInt8](text.utf8), finishes: true)
        #expect(trace.error == .malformed("cut short"))
        #expect(trace.ends == 0)
    }

    @Test("100-continue is expected only of HTTP/1.1 callers with a body")
    func expectations() {
        func expects(_ text: String) -> Bool? {
            guard case .request(_, _, let expects) = ParserTrace(.requests, [UInt8](text.utf8)).events.first else {
                return nil
            }
            return expects
        }
        #expect(expects("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n") == true)
        #expect(expects("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n") == false)
        #expect(expects("PUT / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n") == false)
        #expect(expects("PUT / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n") == false)
    }

    @Test("a body that is read in place ends its message like one that is told, cut anywhere")
    func bodyInPlace() throws {
        final class Ends: HTTP1ParserDelegate {
            var heads = 0
            var body: [UInt8] = []
            var ends = 0
            func parserDidReadRequestHead(_ head: HTTPRequestHead, keepsAlive: Bool, expectsContinue: Bool) {
                heads += 1
            }
            func parserDidReadResponseHead(_ head: HTTPResponseHead, keepsAlive: Bool) {}
            func parserDidReadBody(_ bytes: UnsafeRawBufferPointer) { body.append(contentsOf: bytes) }
            func parserDidEndMessage() { ends += 1 }
        }
        let body = [UInt8]("hello world".utf8)
        func feed(_ parser: HTTP1Parser, _ bytes: some Sequence<UInt8>) throws {
            let bytes = Array(bytes)
            #expect(try bytes.withUnsafeBytes { try parser.feed($0) } == bytes.count)
        }
        for told in 0..<body.count {
            for placed in 1...(body.count - told) {
                let (parser, seen) = (HTTP1Parser(.requests, maximumHeadBytes: 1000), Ends())
                parser.delegate = seen
                for round in 1...2 {
                    #expect(parser.bodyBytesLeft == 0)
                    try feed(parser, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n".utf8)
                    if told > 0 { try feed(parser, body[..<told]) }
                    #expect(parser.bodyBytesLeft == body.count - told && seen.ends == round - 1)
                    try parser.take(bodyInPlace: Array(body[..<(told + placed)]), last: placed)
                    #expect(parser.bodyBytesLeft == body.count - told - placed)
                    if told + placed < body.count { try feed(parser, body[(told + placed)...]) }
                    #expect(seen.heads == round && seen.ends == round && !parser.isInMessage)
                }
                #expect(seen.body.count == 2 * (body.count - placed))
            }
        }
    }

    @Test("more than the rest of a body, and a body where there is none, is refused for good")
    func bodyOutOfPlace() throws {
        for head in ["", "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"] {
            let parser = HTTP1Parser(.requests, maximumHeadBytes: 1000)
            try withExtendedLifetime(ParserTrace(.requests, [])) { trace in
                parser.delegate = trace
                if !head.isEmpty { _ = try Array(head.utf8).withUnsafeBytes { try parser.feed($0) } }
                #expect(throws: HTTP1Error.self) { try parser.take(bodyInPlace: [1, 2, 3], last: 3) }
                #expect(throws: HTTP1Error.self) { try Array("a".utf8).withUnsafeBytes { try parser.feed($0) } }
            }
        }
    }
}
