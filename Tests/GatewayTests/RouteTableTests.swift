import Crypto
import Domain
import GatewayKit
import HTTPMessages
import Testing

@Suite("Routes")
struct RouteTableTests {
    @Test(
        "each route is found by its method",
        arguments: [
            ("POST", "/v1/messages", Operation.call(CallRoute(.anthropic))),
            ("POST", "/v1/messages/count_tokens", .call(CallRoute(.anthropic, .countTokens))),
            ("POST", "/v1/chat/completions", .call(CallRoute(.openaiChat))),
            ("POST", "/v1/embeddings", .call(CallRoute(.openaiChat, .embed))),
            ("POST", "/v1/responses", .call(CallRoute(.openaiResponses))),
            ("GET", "/v1/responses/resp_1", .response("resp_1")),
            ("GET", "/v1/models", .models(ModelListRoute())), ("HEAD", "/v1/models", .models(ModelListRoute())),
            ("GET", "/v1/models/claude-a", .models(ModelListRoute("claude-a"))),
            ("GET", "/v1/models/a/b", .models(ModelListRoute("a/b"))),
            ("GET", "/v1/models/a%2Fb", .models(ModelListRoute("a/b"))),
            ("GET", "/v1/models/a+b%2B", .models(ModelListRoute("a+b+"))),
            ("GET", "/v1/responses/a+b", .response("a+b")),
            ("GET", "/v1beta/models", .models(ModelListRoute(isGemini: true))),
            ("GET", "/v1beta/models/command-r+", .models(ModelListRoute("command-r+", isGemini: true))),
            ("POST", "/v1beta/models/command-r+:generateContent", .call(CallRoute(.gemini, model: "command-r+"))),
            ("GET", "/v1beta/models/gemini-a", .models(ModelListRoute("gemini-a", isGemini: true))),
            ("POST", "/v1beta/models/gemini-a:generateContent", .call(CallRoute(.gemini, model: "gemini-a"))),
            (
                "POST", "/v1beta/models/gemini%2Da:streamGenerateContent",
                .call(CallRoute(.gemini, model: "gemini-a", isStream: true))
            ),
            ("POST", "/v1beta/models/a:b:countTokens", .call(CallRoute(.gemini, .countTokens, model: "a:b"))),
            ("POST", "/v1/models/gemini-a:generateContent", .call(CallRoute(.gemini, model: "gemini-a"))),
            ("POST", "/v1/models/m:countTokens", .call(CallRoute(.gemini, .countTokens, model: "m"))),
            ("GET", "/v1/models/ft:gpt:x", .models(ModelListRoute("ft:gpt:x"))),
            (
                "POST", "/antigravity/v1/models/m:generateContent",
                .call(CallRoute(.gemini, model: "m", isAntigravity: true))
            ),
            ("POST", "/antigravity/v1/messages", .call(CallRoute(.anthropic, isAntigravity: true))),
            (
                "POST", "/antigravity/v1/messages/count_tokens",
                .call(CallRoute(.anthropic, .countTokens, isAntigravity: true))
            ),
            (
                "POST", "/antigravity/v1beta/models/gemini-a:streamGenerateContent",
                .call(CallRoute(.gemini, model: "gemini-a", isStream: true, isAntigravity: true))
            ),
            (
                "GET", "/antigravity/v1beta/models",
                .models(ModelListRoute(isGemini: true, isAntigravity: true))
            ),
            ("GET", "/v1/usage", .usage), ("GET", "/health/live", .live), ("GET", "/health/ready", .ready),
            ("GET", "/metrics", .metrics), ("HEAD", "/health/live", .live), ("HEAD", "/v1/usage", .usage),
        ]
    )
    func found(method: String, path: String, operation: GatewayKit.Operation) {
        #expect(RouteTable.match(method: method, path: Substring(path)) == .found(operation))
    }

    @Test(
        "another method is told which there are",
        arguments: [
            ("GET", "/v1/messages", "POST, OPTIONS"), ("HEAD", "/v1/messages", "POST, OPTIONS"),
            ("OPTIONS", "/v1/messages", "POST, OPTIONS"), ("post", "/v1/messages", "POST, OPTIONS"),
            ("DELETE", "/v1/messages/count_tokens", "POST, OPTIONS"), ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
            ("PATCH", "/v1/models/claude-a", "GET, HEAD, OPTIONS"), ("POST", "/v1/models/m:x", "GET, HEAD, OPTIONS"),
            ("POST", "/metrics", "GET, HEAD, OPTIONS"),
            ("", "/v1/usage", "GET, HEAD, OPTIONS"),
        ]
    )
    func wrongMethod(method: String, path: String, allowed: String) {
        #expect(RouteTable.match(method: method, path: Substring(path)) == .wrongMethod(allowed: allowed))
    }

    @Test(
        "other paths are none",
        arguments: [
            "", "/", "*", "/v1", "/v1/", "/v1/messages/", "/v1/message", "/V1/messages", "//v1/messages", "/v1/models/",
            "/v1/models/\u{301}", "/v1/messages/count_tokens/x", "/v1/complete", "/internal/v1/keys/x",
            "/v1/messages%20",
            "http://host/v1/messages", "/v1/../v1/messages", "/antigravity", "/antigravity/", "/antigravity/v1",
            "/antigravity/v1/chat/completions", "/antigravity/antigravity/v1/messages", "/v1beta/models/",
            "/v1beta/models/:generateContent", "/v1beta/models/a:embedContent", "/v1beta/models/a:", "/v1/responses/",
            "/v1/responses/a/input_items", "/v1/chat/completions/",
        ]
    )
    func notFound(path: String) {
        for method in ["GET", "POST", "OPTIONS", "HEAD"] {
            #expect(RouteTable.match(method: method, path: Substring(path)) == .notFound)
        }
    }
}

@Suite("Dialects of errors")
struct ErrorDialectTests {
    @Test(
        "a path's errors are told in its dialect, whether it exists or not",
        arguments: [
            ("/v1/messages", Dialect.anthropic), ("/v1/chat/completions", .openaiChat), ("/v1/chat/x", .openaiChat),
            ("/v1/embeddings", .openaiChat), ("/v1/responses/resp_1", .openaiResponses), ("/v1beta/models", .gemini),
            ("/antigravity/v1beta/models/a:b", .gemini), ("/antigravity/v1/messages", .anthropic),
            ("/v1/models", .anthropic), ("/nothing", .anthropic),
        ]
    )
    func dialect(path: String, dialect: Dialect) {
        let head = HTTPRequestHead(method: "GET", target: path)
        #expect(RouteTable.dialect(of: head) == dialect)
    }

    @Test("errors of model lists follow the caller's headers")
    func lists() {
        func dialect(_ headers: HeaderFields) -> Dialect {
            RouteTable.dialect(of: HTTPRequestHead(method: "GET", target: "/v1/models/a", headers: headers))
        }
        #expect(dialect(["authorization": "Bearer x"]) == .openaiChat)
        #expect(dialect(["authorization": "Bearer x", "anthropic-version": "2023-06-01"]) == .anthropic)
        #expect(dialect(["x-api-key": "x"]) == .anthropic)
    }
}

@Suite("Request ids")
struct RequestIDsTests {
    private let now = Timestamp(microseconds: 1_790_000_000_000_000)

    @Test("an id is req_ and 24 characters of the alphabet, and no two are alike")
    func shape() {
        var ids = RequestIDs()
        var seen: Set<String> = []
        var letters: Set<Character> = []
        for _ in 0..<20_000 {
            let id = ids.next(at: now)
            #expect(id.utf8.count == 28 && id.hasPrefix("req_"))
            letters.formUnion(id.dropFirst(13))
            seen.insert(id)
        }
        #expect(seen.count == 20_000)
        #expect(letters == Set("0123456789abcdefghjkmnpqrstvwxyz"))
    }

    @Test("ids of later milliseconds sort behind those of earlier ones, for as long as anybody lives")
    func order() {
        var ids = RequestIDs()
        let milliseconds: [Int64] = [0, 1, 31, 32, 1_790_000_000_000, 1_790_000_000_001, 4_102_444_800_000]
        let made = milliseconds.map { ids.next(at: Timestamp(microseconds: $0 * 1000 + 999)) }
        #expect(made == made.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        // Whatever the clock says, an id comes of it.
        for odd in [Int64.min, -1, Int64.max] {
            #expect(ids.next(at: Timestamp(microseconds: odd)).utf8.count == 28)
        }
    }

    @Test("copies and other makers do not repeat each other's ids")
    func independent() {
        var seen: Set<String> = []
        for _ in 0..<200 {
            var ids = RequestIDs()
            for _ in 0..<3 { seen.insert(ids.next(at: now)) }
        }
        #expect(seen.count == 600)
    }
}
