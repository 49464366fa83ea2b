import Domain
import Formats
import GatewayKit
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Snapshots
import Telemetry
import TestSupport
import Testing

/// Errors that no handler gives, byte by byte over sockets.
@Suite(
    "Errors before there is a call",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct FaultAnswerTests {
    private static let long = String(repeating: "y", count: 3000)
    private static let host = "Host: a\r\n"

    struct Case: CustomTestStringConvertible {
        let testDescription: String
        let request: String
        let status: Int
        let code: String
        var dialect = Dialect.anthropic

        init(_ name: String, _ request: String, _ status: Int, _ code: String, _ dialect: Dialect = .anthropic) {
            testDescription = name
            self.request = request
            self.status = status
            self.code = code
            self.dialect = dialect
        }
    }

    static let cases = [
        Case("not HTTP", "\u{16}\u{3}\u{1}", 400, "invalid_request"),
        Case("no request line", "what is this\r\n\r\n", 400, "invalid_request"),
        Case("no host", "POST /v1/messages HTTP/1.1\r\n\r\n", 400, "invalid_request"),
        Case("another HTTP", "GET /v1beta/models HTTP/3.0\r\n\(host)\r\n", 505, "invalid_request"),
        Case(
            "length and chunks",
            "POST /v1/chat/completions HTTP/1.1\r\n\(host)Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "invalid_request",
            .openaiChat
        ),
        Case(
            "bare LF",
            "GET /v1/responses/a HTTP/1.1\r\n\(host)x: y\nz: 1\r\n\r\n",
            400,
            "invalid_request",
            .openaiResponses
        ),
        Case(
            "obs-fold",
            "POST /v1beta/models/g:generateContent HTTP/1.1\r\n\(host)x: y\r\n z\r\n\r\n",
            400,
            "invalid_request",
            .gemini
        ),
        Case(
            "a large head",
            "POST /v1/responses HTTP/1.1\r\n\(host)x: \(long)\r\n\r\n",
            431,
            "headers_too_large",
            .openaiResponses
        ),
        Case("a long path", "GET /v1/models/\(long) HTTP/1.1\r\n\(host)\r\n", 431, "headers_too_large"),
        Case("CONNECT", "CONNECT a:1 HTTP/1.1\r\n\(host)\r\n", 405, "method_not_allowed"),
        Case(
            "miracles",
            "POST /antigravity/v1beta/models/g:countTokens HTTP/1.1\r\n\(host)Expect: miracles\r\nContent-Length: 1\r\n\r\nx",
            417,
            "invalid_request",
            .gemini
        ),
        Case(
            "a bad chunk that comes with its head",
            "POST /v1/embeddings HTTP/1.1\r\n\(host)Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
            400,
            "invalid_request",
            .openaiChat
        ),
        Case(
            "a head without end",
            "POST /v1/chat/completions HTTP/1.1\r\n\(host)x: ",
            408,
            "request_timeout",
            .openaiChat
        ),
        Case("half a line", "POST /v1beta", 408, "request_timeout"),
    ]

    private func limits() -> HTTPServerLimits {
        var limits = HTTPServerLimits()
        limits.headerBytes = 2048
        limits.headerTimeout = .milliseconds(200)
        limits.bodyIdleTimeout = .milliseconds(200)
        return limits
    }

    private func check(_ answer: RawAnswer, _ status: Int, _ code: String, _ dialect: Dialect) throws {
        #expect(answer.status == status)
        #expect(answer["x-tollgate-code"] == code)
        #expect(answer["x-request-id"]?.hasPrefix("req_") == true)
        #expect(answer["connection"] == "close" && answer["content-type"] == "application/json")
        #expect(answer["content-length"] == String(answer.body.utf8.count))
        let error = try #require(try JSON(text: answer.body)["error"])
        #expect(error["message"]?.string?.isEmpty == false)
        switch dialect {
        case .gemini:
            #expect(error["code"]?.int == status && error["details"]?.array?.first?["reason"]?.string == code)
        case .openaiChat, .openaiResponses:
            #expect(error["code"]?.string == code && error["param"] != nil)
        default:
            #expect(try JSON(text: answer.body)["type"] == "error" && error["type"] != nil)
            #expect(try JSON(text: answer.body)["request_id"]?.string == answer["x-request-id"])
        }
    }

    @Test("each has its path's dialect, a request id and a code, and the connection ends", arguments: cases)
    func answers(_ it: Case) async throws {
        var options = Stand.Options()
        options.limits = limits()
        try await standing(options) { (stand) async throws in
            let before = stand.metrics.registry.render()
            let caller = try await RawCaller(stand.loop, to: stand.address)
            caller.send(it.request)
            let text = try await caller.rest()
            try check(try #require(RawAnswer(text), "\(text)"), it.status, it.code, it.dialect)
            #expect(stand.metrics.registry.render() != before)
            #expect(stand.gateway.openExchanges == 0)
        }
    }

    @Test("a body that breaks later is 400 from its own call, on which nothing has been asked of an account")
    func laterBody() async throws {
        try await standing { (stand) async throws in
            let caller = try await RawCaller(stand.loop, to: stand.address)
            caller.send(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nx-api-key: \(stand.apiKey)\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
            )
            // The handler waits for the rest by now.
            await stand.loop.wait { stand.gateway.openExchanges == 1 }
            await stand.loop.sleep(.milliseconds(20))
            caller.send("nonsense\r\nGET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
            let text = try await caller.rest()
            try check(try #require(RawAnswer(text), "\(text)"), 400, "invalid_request", .openaiChat)
            #expect(stand.upstream.calls.isEmpty)
        }
    }

    @Test("HEAD has the head only; a page of an origin that is let in may read it")
    func headAndOrigin() async throws {
        try await standing { (stand) async throws in
            stand.changeConfig { $0.security.corsOrigins = ["https://a.example"] }
            try await stand.publish()
            let caller = try await RawCaller(stand.loop, to: stand.address)
            caller.send("HEAD /v1/models HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\nx y: z\r\n\r\n")
            let answer = try #require(RawAnswer(try await caller.rest()))
            #expect(answer.status == 400 && answer.body.isEmpty && answer["content-length"] != "0")
            #expect(answer["access-control-allow-origin"] == "https://a.example")
        }
    }

    @Test("over HTTP/2 a head that is too large is answered on its stream in its path's dialect")
    func http2() async throws {
        var options = Stand.Options()
        options.limits = limits()
        try await standing(options) { (stand) async throws in
            let request = stand.request(
                "POST",
                "/v1beta/models/g:generateContent",
                body: Array("{}".utf8),
                headers: ["x-long": Self.long],
                wire: .http2
            )
            let response = try await stand.caller.send(request)
            #expect(response.head.status == 431)
            #expect(response.head.headers["x-tollgate-code"] == "headers_too_large")
            #expect(response.head.headers["x-request-id"]?.hasPrefix("req_") == true)
            let error = try JSON(text: try await response.text())["error"]
            #expect(error?["details"]?.array?.first?["reason"] == "headers_too_large")
        }
    }
}
