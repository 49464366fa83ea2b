import Domain
import Formats
import HTTPFetching
import HTTPMessages
import Postgres
import Reactor
import SimulatorKit
import Snapshots
import Telemetry
import TestSupport
import Testing

@testable import ControlKit

/// The provider simulator on a port of its own, and its control routes.
final class SimulatedUpstream {
    let simulator: Simulator
    let address: SocketAddress
    private let client: HTTPClient

    init(_ loop: EventLoop) throws {
        simulator = Simulator(loop)
        address = try simulator.listen(on: try #require(SocketAddress("127.0.0.1:0")))
        client = try HTTPClient(loop)
    }

    var url: String { "http://\(address)" }

    @discardableResult
    func control(_ method: String, _ path: String, _ body: JSON? = nil) async throws -> JSON {
        let endpoint = Endpoint(isTLS: false, host: address.ip, port: address.port)
        let head = HTTPRequestHead(method: method, target: "/__sim/" + path)
        let response = try await client.send(FetchRequest(to: endpoint, head, body: body?.encoded ?? []))
        let answer = try await response.collect(limit: 1 << 20)
        #expect(response.head.status < 300, "\(String(decoding: answer, as: UTF8.self))")
        return try JSON(answer)
    }

    /// Arms a fault for this credential.
    func arm(_ words: String, _ credential: String, count: Int = 100) async throws {
        let body: JSON = ["words": .string(words), "credential": .string(credential), "count": .int(Int64(count))]
        try await control("POST", "faults", body)
    }

    func disarm() async throws { try await control("DELETE", "faults") }

    /// Paths of what this credential has asked.
    func paths(_ credential: String) -> [String] {
        simulator.log.records(after: 0, limit: 1000, credential: credential).map { String($0.head.path) }
    }

    func close() { client.close() }
}

extension AdminServer {
    func makeLogin(_ platform: String, _ name: String, _ upstream: SimulatedUpstream, token: String) async throws
        -> Int64
    {
        try await makeAccount([
            "name": .string(name), "platform": .string(platform), "type": "oauth",
            "credentials": [
                "api_key": .null, "access_token": .string(token), "base_url": .string(upstream.url),
            ],
        ]).id
    }

    func usage(_ account: Int64) async throws -> JSON {
        let answer = try await call("GET", "/admin/accounts/\(account)/usage")
        #expect(answer.status == 200, "\(answer.body.text)")
        return answer.body
    }
}

extension AdminAPITests {
    @Suite("Usage of accounts")
    struct Usage {
        private func probing(_ body: @escaping @Sendable (AdminServer, SimulatedUpstream) async throws -> Void)
            async throws
        {
            try await withAdmin { admin in
                let upstream = try SimulatedUpstream(admin.loop)
                try await body(admin, upstream)
                upstream.close()
            }
        }

        @Test("Anthropic's windows are told, kept, and shown with the account")
        func anthropic() async throws {
            try await probing { admin, upstream in
                let id = try await admin.makeLogin("anthropic", "a", upstream, token: "sk-ant-oat01-a")
                let usage = try await admin.usage(id)
                #expect(usage["five_hour"]?["utilization"] == 42.0 && usage["seven_day"]?["utilization"] == 17.0)
                let end = try #require(usage["five_hour"]?["resets_at"]?.string)
                let account = try await admin.call("GET", "/admin/accounts/\(id)")
                #expect(account["session_window_end"]?.string == end)
                #expect(account["session_window_start"]?.string != nil)
                #expect(upstream.paths("sk-ant-oat01-a") == ["/api/oauth/usage"])
            }
        }

        @Test("Antigravity's models, tier and credits are told")
        func antigravity() async throws {
            try await probing { admin, upstream in
                try await upstream.control(
                    "POST",
                    "credits",
                    ["credential": "ya29.u", "amount": 77, "tier": "g1-ultra-tier"]
                )
                let id = try await admin.makeLogin("antigravity", "u", upstream, token: "ya29.u")
                let usage = try await admin.usage(id)
                #expect(usage["subscription_tier"] == "ULTRA" && usage["subscription_tier_raw"] == "g1-ultra-tier")
                #expect(
                    usage["ai_credits"] == [["credit_type": "GOOGLE_ONE_AI", "amount": 77, "minimum_balance": 10]]
                )
                #expect(usage["models"]?["gemini-3-pro-high"]?["utilization"] == 42.0)
                #expect(usage["error_code"] == nil)
                let account = try await admin.call("GET", "/admin/accounts/\(id)")
                #expect(account["subscription_tier"] == "ULTRA")
            }
        }

        @Test("many who ask at once share one question, and the cache answers after it")
        func singleFlight() async throws {
            try await probing { admin, upstream in
                let id = try await admin.makeLogin("anthropic", "s", upstream, token: "sk-ant-oat01-s")
                try await upstream.arm("slow300", "sk-ant-oat01-s", count: 1)
                let answers = try await admin.together(20) { _ in
                    try await admin.call("GET", "/admin/accounts/\(id)/usage")
                }
                #expect(answers.allSatisfy { $0.status == 200 && $0["five_hour"]?["utilization"] == 42.0 })
                for _ in 0..<3 { _ = try await admin.usage(id) }
                #expect(upstream.paths("sk-ant-oat01-s").count == 1)
                // Other credentials are another question.
                let change = try await admin.call(
                    "PATCH",
                    "/admin/accounts/\(id)",
                    ["credentials": ["access_token": "sk-ant-oat01-n"]]
                )
                #expect(change.status == 200)
                _ = try await admin.usage(id)
                #expect(upstream.paths("sk-ant-oat01-n").count == 1)
            }
        }

        @Test(
            "a failed probe has its code and the last known figures, never a 500",
            arguments: [
                ("401", "unauthenticated"), ("403", "forbidden"), ("429retry30", "rate_limited"),
                ("500", "network_error"),
                ("529", "network_error"), ("reset", "network_error"), ("garbage", "network_error"),
                ("emptybody", "network_error"), ("403html", "network_error"),
            ]
        )
        func degraded(words: String, code: String) async throws {
            try await probing { admin, upstream in
                for (platform, token) in [("anthropic", "sk-ant-oat01-d"), ("antigravity", "ya29.d")] {
                    let id = try await admin.makeLogin(platform, platform, upstream, token: token)
                    let good = try await admin.usage(id)
                    #expect(good["error_code"] == nil)
                    admin.plane.usage?.forget(AccountID(id))
                    try await upstream.arm(words, token)
                    let bad = try await admin.usage(id)
                    #expect(bad["error_code"]?.string == code, "\(platform): \(bad.text)")
                    #expect(bad["five_hour"] == good["five_hour"] && bad["models"] == good["models"])
                    #expect(bad["subscription_tier"] == good["subscription_tier"])
                    #expect(bad["ai_credits"] == good["ai_credits"])
                    #expect((bad["needs_reauth"] == true) == (code == "unauthenticated"))
                    #expect((bad["is_forbidden"] == true) == (code == "forbidden"))
                    try await upstream.disarm()
                }
            }
        }

        @Test(
            "of Antigravity's refusals it is told what they ask for",
            arguments: [("403validation", "validation"), ("403violation", "violation"), ("403", "forbidden")]
        )
        func forbidden(words: String, type: String) async throws {
            try await probing { admin, upstream in
                let id = try await admin.makeLogin("antigravity", "f", upstream, token: "ya29.f")
                try await upstream.arm(words, "ya29.f")
                let usage = try await admin.usage(id)
                #expect(usage["forbidden_type"]?.string == type && usage["is_forbidden"] == true)
                #expect((usage["needs_verify"] == true) == (type == "validation"))
                #expect((usage["is_banned"] == true) == (type == "violation"))
                #expect((usage["validation_url"] != nil) == (type != "forbidden"))
            }
        }

        @Test("an account that cannot be asked tells what is known of it, and no upstream is asked")
        func passive() async throws {
            try await probing { admin, upstream in
                let id = try await admin.makeLogin("openai", "o", upstream, token: "chatgpt-o")
                let now = Timestamp.now
                let sample = WindowsSample(
                    account: AccountID(id),
                    at: now,
                    windows: AccountWindows(fiveHours: UsageWindow(used: 1234, endsAt: now + .seconds(600))),
                    countsForSession: false
                )
                for _ in 0..<2 {
                    try await admin.plane.pool.withTransaction { connection in
                        _ = try await AccountUsageStore.apply([sample], on: connection)
                    }
                }
                #expect(try await admin.usage(id)["five_hour"]?["utilization"] == 12.34)
                #expect(upstream.paths("chatgpt-o") == [])
                #expect(try await admin.call("GET", "/admin/accounts/9999/usage").status == 404)
            }
        }

        @Test("a flight has its own deadline, and an account whose proxy cannot be used is not asked directly")
        func deadline() async throws {
            try await probing { admin, upstream in
                let hanging = try await admin.makeLogin("anthropic", "h", upstream, token: "sk-ant-oat01-h")
                try await upstream.arm("hang", "sk-ant-oat01-h")
                var pace = UsageProber.Pace()
                pace.deadline = .milliseconds(300)
                pace.spread = .zero
                let keys = try #require(admin.plane.config.masterKeys)
                let log = Log(service: "test", level: .error)
                let client = try UpstreamClient(admin.loop)
                let prober = UsageProber(admin.loop, client, admin.plane.pool, keys, log: log, pace: pace)
                let found = try await admin.plane.pool.withConnection {
                    try await AccountStore.find(AccountID(hanging), on: $0)
                }
                let account = try #require(found)
                let started = MonotonicTime.now
                guard case .failed(let failure, _)? = await prober.outcome(of: account) else {
                    Issue.record("it answered")
                    return
                }
                #expect(failure.code == .networkError && started.elapsed < .seconds(12))

                let proxy = try await admin.call(
                    "POST",
                    "/admin/proxies",
                    ["name": "p", "protocol": "http", "host": "127.0.0.1", "port": 1]
                )
                let id = try await admin.makeLogin("anthropic", "q", upstream, token: "sk-ant-oat01-q")
                _ = try await admin.call("PATCH", "/admin/accounts/\(id)", ["proxy_id": .int(proxy.id)])
                #expect(try await admin.usage(id)["error_code"] == "network_error")
                #expect(upstream.paths("sk-ant-oat01-q") == [])
                client.close()
            }
        }

        @Test("misses of many accounts are spread over 800 ms")
        func spread() async throws {
            try await probing { admin, upstream in
                let keys = try #require(admin.plane.config.masterKeys)
                let log = Log(service: "test", level: .error)
                let client = try UpstreamClient(admin.loop)
                // Whatever chance says, a flight begins within the spread.
                for (chance, least) in [(UInt64(800), 800), (0, 0), (801 * 7 + 400, 400)] {
                    let id = try await admin.makeLogin("anthropic", "x\(chance)", upstream, token: "sk-ant-oat01-x")
                    let prober = UsageProber(admin.loop, client, admin.plane.pool, keys, log: log, chance: { chance })
                    let found = try await admin.plane.pool.withConnection {
                        try await AccountStore.find(AccountID(id), on: $0)
                    }
                    let started = MonotonicTime.now
                    _ = await prober.outcome(of: try #require(found))
                    #expect(started.elapsed >= .milliseconds(least))
                    #expect(prober.asked == 1)
                }
                client.close()
            }
        }
    }
}
