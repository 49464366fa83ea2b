import Crypto
import GatewayKit
import Testing

@Suite("Routes")
struct RouteTableTests {
    @Test(
        "each route is found by its method",
        arguments: [
            ("POST", "/v1/messages", Operation.messages), ("POST", "/v1/messages/count_tokens", .countTokens),
            ("GET", "/v1/models", .models), ("GET", "/v1/models/claude-a", .model("claude-a")),
            ("GET", "/v1/models/a/b", .model("a/b")), ("GET", "/v1/usage", .usage), ("GET", "/health/live", .live),
            ("GET", "/health/ready", .ready), ("GET", "/metrics", .metrics), ("HEAD", "/v1/models", .models),
            ("HEAD", "/health/live", .live), ("HEAD", "/v1/usage", .usage),
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
            ("PATCH", "/v1/models/claude-a", "GET, HEAD, OPTIONS"), ("POST", "/metrics", "GET, HEAD, OPTIONS"),
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
            "http://host/v1/messages", "/v1/../v1/messages",
        ]
    )
    func notFound(path: String) {
        for method in ["GET", "POST", "OPTIONS", "HEAD"] {
            #expect(RouteTable.match(method: method, path: Substring(path)) == .notFound)
        }
    }
}

@Suite("Request ids")
struct RequestIDsTests {
    @Test("an id is req_ and 24 characters of the alphabet, and no two are alike")
    func shape() {
        var ids = RequestIDs()
        var seen: Set<String> = []
        var letters: Set<Character> = []
        for _ in 0..<20_000 {
            let id = ids.next()
            #expect(id.utf8.count == 28 && id.hasPrefix("req_"))
            letters.formUnion(id.dropFirst(4))
            seen.insert(id)
        }
        #expect(seen.count == 20_000)
        #expect(letters == Set("0123456789abcdefghjkmnpqrstvwxyz"))
    }

    @Test("copies and other makers do not repeat each other's ids")
    func independent() {
        var seen: Set<String> = []
        for _ in 0..<200 {
            var ids = RequestIDs()
            for _ in 0..<3 { seen.insert(ids.next()) }
        }
        #expect(seen.count == 600)
    }
}
