import GatewayKit
import HTTPMessages
import Testing

@Suite("Which pages may call")
struct CORSPolicyTests {
    private func policy(_ text: String) throws -> CORSPolicy {
        try #require(CORSPolicy(text.split(separator: " ").map(String.init)))
    }

    private func request(_ origin: String?, _ method: String = "POST", _ more: HeaderFields = [:]) -> HTTPRequestHead {
        var headers = more
        if let origin { headers.add("origin", origin) }
        return HTTPRequestHead(method: method, target: "/v1/messages", headers: headers)
    }

    @Test("a list without an origin lets nobody in", arguments: [[], ["null"], ["https://a.example/"], [""]])
    func empty(list: [String]) { #expect(CORSPolicy(list) == nil) }

    @Test("an answer names the page's own origin where it is on the list, and otherwise nothing but that it may vary")
    func answers() throws {
        let policy = try policy("https://a.example https://b.example:8443")
        for origin in ["https://a.example", "https://b.example:8443", "https://A.example"] {
            let fields = policy.fields(for: request(origin))
            #expect(fields["access-control-allow-origin"] == origin && fields["vary"] == "origin")
            #expect(fields["access-control-expose-headers"]?.contains("x-request-id") == true)
            #expect(fields["access-control-expose-headers"]?.contains("x-ratelimit-remaining-tokens") == true)
            #expect(fields["access-control-allow-credentials"] == nil)
        }
        for origin in [
            nil, "https://c.example", "https://b.example", "http://a.example", "null", "https://a.example.evil",
        ] {
            #expect(policy.fields(for: request(origin)).strings.map(\.name) == ["vary"])
        }
    }

    @Test("* is for every page, and the same answer for all")
    func all() throws {
        let fields = try policy("*").fields(for: request("https://x.example"))
        #expect(fields["access-control-allow-origin"] == "*" && fields["vary"] == nil)
        #expect(try policy("*").fields(for: request(nil)).isEmpty)
    }

    @Test("a preflight is told the resource's methods and gets the fields it asks for")
    func preflights() throws {
        let policy = try policy("https://a.example")
        let asked: HeaderFields = [
            "access-control-request-method": "POST", "access-control-request-headers": "x-api-key,content-type",
        ]
        let fields = try #require(policy.preflight(request("https://a.example", "OPTIONS", asked), methods: "POST"))
        #expect(fields["access-control-allow-methods"] == "POST")
        #expect(fields["access-control-allow-headers"] == "x-api-key,content-type")
        #expect(fields["access-control-max-age"] == "600")
        #expect(policy.preflight(request("https://c.example", "OPTIONS", asked), methods: "POST") == nil)
        #expect(policy.preflight(request("https://a.example", "OPTIONS"), methods: "POST") == nil)
        #expect(policy.preflight(request("https://a.example", "POST", asked), methods: "POST") == nil)
        var long = asked
        long.set("access-control-request-headers", String(repeating: "a,", count: 4000))
        let bounded = try #require(policy.preflight(request("https://a.example", "OPTIONS", long), methods: "POST"))
        #expect(bounded["access-control-allow-headers"] == nil)
    }
}
