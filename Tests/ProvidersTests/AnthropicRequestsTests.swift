import Crypto
import Domain
import HTTPMessages
import Providers
import Testing

@Suite("What is sent to Anthropic")
struct AnthropicRequestsTests {
    private func head(
        _ caller: HeaderFields,
        of platform: Platform = .anthropic,
        type: AccountType = .apikey,
        overrides: [String: String] = [:],
        rules: [BetaPolicy.Rule] = []
    ) throws -> HTTPRequestHead {
        let account = ProviderAccount(
            platform: platform,
            type: type,
            fields: ["base_url": "https://proxy.example:8443/base/"],
            headerOverrides: overrides,
            betaPolicy: BetaPolicy(rules)
        )
        let call = UpstreamCall(
            dialect: .anthropic,
            model: "claude-a",
            body: [],
            callerHeaders: caller,
            callerQuery: "beta=true",
            secrets: ["api_key": Secret("sk-up"), "access_token": Secret("at-up")],
            now: Timestamp(microseconds: 0)
        )
        let provider = try #require(ProviderRegistry.provider(for: account))
        return try #require(try provider.request(for: call)).head
    }

    @Test("only headers of the list go up; the caller's key, cookies and addresses stay")
    func allowlist() throws {
        let sent = try head([
            "x-api-key": "tg-secret", "authorization": "Bearer tg-secret", "cookie": "a=b",
            "x-forwarded-for": "10.0.0.1", "anthropic-beta": "tools-2024", "user-agent": "me/1",
            "x-stainless-lang": "python", "accept-encoding": "gzip", "connection": "keep-alive",
        ])
        let names = sent.headers.strings.map(\.name).sorted()
        #expect(
            names == [
                "accept-encoding", "anthropic-beta", "anthropic-version", "content-type", "host", "user-agent",
                "x-api-key", "x-stainless-lang",
            ]
        )
        #expect(sent.headers["x-api-key"] == "sk-up")
        #expect(sent.headers["accept-encoding"] == "identity")
        #expect(sent.headers["host"] == "proxy.example:8443")
        #expect(sent.target == "/base/v1/messages?beta=true")
    }

    @Test("the account's header overrides win")
    func overrides() throws {
        let sent = try head(["user-agent": "me/1"], overrides: ["User-Agent": "other/2", "x-team": "blue"])
        #expect(sent.headers["user-agent"] == "other/2")
        #expect(sent.headers["x-team"] == "blue")
    }

    @Test(
        "logins and setup tokens go as bearers with the beta that they need",
        arguments: [AccountType.oauth, .setupToken]
    )
    func bearer(type: AccountType) throws {
        let sent = try head(["anthropic-beta": "tools-2024, files-1"], type: type)
        #expect(sent.headers["authorization"] == "Bearer at-up")
        #expect(sent.headers["x-api-key"] == nil)
        #expect(sent.headers.values("anthropic-beta") == ["tools-2024,files-1,oauth-2025-04-20"])
    }

    @Test("the beta policy lets through, leaves out and refuses, each for its accounts")
    func betaPolicy() throws {
        let rules: [BetaPolicy.Rule] = [
            .init(token: "secret-*", action: .block, scope: .oauth, message: "not here"),
            .init(token: "tools-2024", action: .filter, scope: .apikey), .init(token: "tools-2024", action: .pass),
        ]
        let caller: HeaderFields = ["anthropic-beta": "tools-2024,a", "Anthropic-Beta": "a, b"]
        #expect(try head(caller, rules: rules).headers.values("anthropic-beta") == ["a,b"])
        #expect(
            try head(caller, type: .oauth, rules: rules).headers.values("anthropic-beta")
                == ["tools-2024,a,b,oauth-2025-04-20"]
        )
        #expect(try head(["anthropic-beta": "secret-1"], rules: rules).headers["anthropic-beta"] == "secret-1")
        #expect(throws: GatewayError.self) {
            try head(["anthropic-beta": "a,secret-1"], type: .oauth, rules: rules)
        }
    }

    @Test("the rules for keys are those of keys to another gateway, too")
    func antigravityKeys() throws {
        let rules: [BetaPolicy.Rule] = [
            .init(token: "secret-*", action: .block), .init(token: "tools-2024", action: .filter, scope: .apikey),
            .init(token: "a", action: .block, scope: .oauth),
        ]
        let sent = try head(["anthropic-beta": "tools-2024, a"], of: .antigravity, rules: rules)
        #expect(sent.headers.values("anthropic-beta") == ["a"])
        #expect(throws: GatewayError.self) {
            try head(["anthropic-beta": "a,secret-1"], of: .antigravity, rules: rules)
        }
    }

    @Test(
        "base URLs are taken apart, or refused",
        arguments: [
            ("https://api.anthropic.com", "api.anthropic.com", 443, ""),
            ("http://127.0.0.1:9900/", "127.0.0.1", 9900, ""),
            ("HTTP://[::1]:80/a/b//", "::1", 80, "/a/b"),
        ] as [(String, String, UInt16, String)]
    )
    func targets(url: String, host: String, port: UInt16, path: String) throws {
        let target = try #require(UpstreamTarget(baseURL: url))
        #expect(target.host == host)
        #expect(target.port == port)
        #expect(target.basePath == path)
    }

    @Test(
        "other URLs are refused",
        arguments: [
            "", "ftp://x", "https://", "https://user@host", "https://h:99999", "http://h/?q", "http://h/#f", "h",
            "http://::1/", "http://::1:80",
        ]
    )
    func refusedTargets(url: String) { #expect(UpstreamTarget(baseURL: url) == nil) }
}
