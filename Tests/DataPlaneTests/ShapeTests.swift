import Domain
import Formats
import GatewayKit
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

@Suite("Routes over the wire", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct ShapeTests {
    private func error(in text: String) throws -> (type: String?, message: String?, requestID: String?) {
        let json = try JSON(Array(text.utf8))
        #expect(json["type"]?.string == "error")
        return (json["error"]?["type"]?.string, json["error"]?["message"]?.string, json["request_id"]?.string)
    }

    @Test("a wrong method is 405 with the methods that there are, an unknown path 404, in the dialect's shape")
    func refusals() async throws {
        try await standing { (stand) async throws in
            for (method, path, status, allow) in [
                ("GET", "/v1/messages", 405, "POST, OPTIONS"), ("PUT", "/v1/models", 405, "GET, HEAD, OPTIONS"),
                ("DELETE", "/v1/usage", 405, "GET, HEAD, OPTIONS"), ("GET", "/", 404, nil), ("OPTIONS", "/x", 404, nil),
                ("POST", "/v1/messages/", 404, nil),
            ] as [(String, String, Int, String?)] {
                let answer = try await stand.get(path, method)
                #expect(answer.status == status)
                #expect(answer.headers["allow"] == allow)
                let found = try error(in: answer.body)
                #expect(found.type == (status == 404 ? "not_found_error" : "invalid_request_error"))
                #expect(found.requestID == answer.headers["x-request-id"] && found.requestID?.hasPrefix("req_") == true)
                #expect(answer.headers["x-tollgate-code"] == (status == 404 ? "not_found" : "method_not_allowed"))
            }
        }
    }

    @Test("OPTIONS tells the methods and grants no other origin anything")
    func options() async throws {
        try await standing { (stand) async throws in
            let headers: HeaderFields = [
                "origin": "https://evil.example", "access-control-request-method": "POST",
                "access-control-request-headers": "x-api-key",
            ]
            for path in ["/v1/messages", "/v1/models", "/v1/usage", "/metrics"] {
                let answer = try await stand.get(path, "OPTIONS", headers: headers, withKey: false)
                #expect(answer.status == 204 && answer.body.isEmpty && answer.headers["allow"] != nil)
                #expect(!answer.headers.strings.contains { $0.name.hasPrefix("access-control-") })
            }
            stand.upstream.script = { $0.answer(200, Says.message()) }
            let answer = try await stand.ask(headers: headers)
            #expect(!answer.head.headers.strings.contains { $0.name.hasPrefix("access-control-") })
        }
    }

    @Test("pages on the list are let in: preflights, answers, streams and errors say so, and no other page is named")
    func pages() async throws {
        try await standing { (stand) async throws in
            stand.config.security.corsOrigins = ["https://app.example"]
            try await stand.publish()
            let origin = "https://app.example"
            let preflight: HeaderFields = [
                "origin": origin, "access-control-request-method": "POST",
                "access-control-request-headers": "x-api-key",
            ]
            let answer = try await stand.get("/v1/messages", "OPTIONS", headers: preflight, withKey: false)
            #expect(answer.status == 204 && answer.headers["access-control-allow-origin"] == origin)
            #expect(answer.headers["access-control-allow-methods"] == "POST, OPTIONS")
            #expect(answer.headers["access-control-allow-headers"] == "x-api-key")
            for isStream in [false, true] {
                stand.upstream.script = {
                    isStream
                        ? $0.stream(Says.whole())
                        : $0.answer(
                            200,
                            Says.message(),
                            ["content-type": "application/json", "access-control-allow-origin": "https://upstream"]
                        )
                }
                for (page, told) in [(origin, origin), ("https://evil.example", nil)] as [(String, String?)] {
                    let answer = try await stand.ask(stream: isStream, headers: ["origin": page])
                    #expect(answer.head.headers.values("access-control-allow-origin") == (told.map { [$0] } ?? []))
                    #expect(answer.head.headers["vary"] == "origin")
                    _ = try await answer.text()
                }
            }
            for (path, status) in [("/v1/models", 401), ("/nothing", 404), ("/health/live", 200)] {
                let answer = try await stand.get(path, headers: ["origin": origin], withKey: false)
                #expect(answer.status == status && answer.headers["access-control-allow-origin"] == origin)
            }
        }
    }

    @Test("HEAD has the head of GET and no body")
    func head() async throws {
        try await standing { (stand) async throws in
            for path in ["/v1/models", "/v1/models/none", "/health/live", "/metrics"] {
                let get = try await stand.get(path)
                let head = try await stand.get(path, "HEAD")
                #expect(head.status == get.status && head.body.isEmpty && !get.body.isEmpty)
                #expect(head.headers["content-type"] == get.headers["content-type"])
            }
        }
    }

    @Test("without a key nothing is told or asked, with probes as the exception")
    func noKey() async throws {
        try await standing { (stand) async throws in
            for (method, path) in [
                ("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens"), ("GET", "/v1/models"),
                ("GET", "/v1/models/claude-a"), ("GET", "/v1/usage"),
            ] {
                for key in [nil, "tg-wrong", ""] {
                    let headers: HeaderFields = key.map { ["x-api-key": $0] } ?? [:]
                    let answer = try await stand.get(path, method, headers: headers, withKey: false)
                    #expect(answer.status == 401 && answer.headers["x-tollgate-code"] == "invalid_api_key")
                    #expect(try error(in: answer.body).type == "authentication_error")
                }
            }
            #expect(stand.upstream.calls.isEmpty && stand.control.asked.isEmpty)
            #expect(try await stand.get("/health/live", withKey: false).status == 200)
        }
    }

    @Test(
        "a body that cannot be served is 400 or 413 and goes nowhere",
        arguments: [
            ("", 400), ("{", 400), ("[]", 400), ("null", 400), (#"{"messages":[]}"#, 400),
            (#"{"model":7,"messages":[]}"#, 400), (#"{"model":"","messages":[]}"#, 400),
            (#"{"model":"claude-a"}"#, 400),
            (#"{"model":"claude-a","messages":{}}"#, 400), (#"{"model":"claude-a","stream":"yes","messages":[]}"#, 400),
            (#"{"model":"claude-a","model":"claude-b","messages":[]}"#, 400),
            (#"{"model":"unpriced","messages":[]}"#, 400),
            (#"{"model":"claude-a","messages":[]} x"#, 400), ("\u{feff}{}", 400), ("{\"model\":\"a\u{0}\"}", 400),
            (String(repeating: "[", count: 4000), 400), (String(repeating: "x", count: 5000), 413),
        ]
    )
    func badBody(body: String, status: Int) async throws {
        var options = Stand.Options()
        options.settings = ["body_limit_bytes": 4096]
        try await standing(options) { (stand) async throws in
            let response = try await stand.caller.send(stand.request(body: Array(body.utf8)))
            #expect(response.head.status == status)
            let text = try await response.text()
            #expect(try error(in: text).type == (status == 413 ? "request_too_large" : "invalid_request_error"))
            #expect(stand.upstream.calls.isEmpty)
            try await stand.quiesce()
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
        }
    }

    @Test("models are what the group can serve now, in the shape of the caller's dialect")
    func models() async throws {
        var options = Stand.Options()
        options.mapping = ["claude-a": "x", "claude-b": "y"]
        try await standing(options) { (stand) async throws in
            let anthropic = try await stand.get("/v1/models")
            #expect(anthropic.body.contains(#""has_more":false"#) && anthropic.body.count(of: "claude-") >= 2)
            let openai = try await stand.get(
                "/v1/models",
                headers: ["authorization": "Bearer \(stand.apiKey)"],
                withKey: false
            )
            #expect(openai.body.contains(#""object":"list""#) && !openai.body.contains("has_more"))
            #expect(try await stand.get("/v1/models/claude-a").status == 200)
            #expect(try await stand.get("/v1/models/claude-c").status == 404)
            stand.changeConfig { $0.accounts[0].expiresAt = Timestamp(microseconds: 1) }
            try await stand.publish()
            #expect(!(try await stand.get("/v1/models").body.contains("claude-a")))
            let refused = try await stand.ask()
            #expect(refused.head.status == 503 && refused.head.headers["x-tollgate-code"] == "no_account_available")
        }
    }

    @Test("requests are counted by the status of their answers")
    func counted() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            _ = try await stand.ask().text()
            _ = try await stand.get("/nothing")
            stand.upstream.script = { $0.answer(400, Says.failure()) }
            _ = try await stand.ask().text()
            let text = stand.metrics.registry.render()
            #expect(text.contains(#"tollgate_requests_total{status="2xx"} 1"#))
            #expect(text.contains(#"tollgate_requests_total{status="4xx"} 2"#))
            #expect(text.contains("tollgate_first_token_seconds_count 1"))
        }
    }

    @Test(
        "calls beyond a user's or a key's own limit wait for one to end, and are refused in time",
        arguments: [
            (1, 0), (0, 1),
        ]
    )
    func callerLimits(user: Int, key: Int) async throws {
        var options = Stand.Options()
        options.slotLimits = (user, key)
        options.settings = ["queue_wait_seconds": 0]
        try await standing(options) { (stand) async throws in
            let first = stand.loop.start { try await stand.ask() }
            let call = try await stand.upstream.call()
            let refused = try await stand.ask()
            #expect(refused.head.status == 429 && refused.head.headers["x-tollgate-code"] == "concurrency_limit")
            stand.changeConfig { _ = $0.settings.set("queue_wait_seconds", 30) }
            try await stand.publish()
            let waiting = stand.loop.start { try await stand.ask() }
            await stand.loop.sleep(.milliseconds(150))
            #expect(!waiting.isFulfilled && stand.upstream.calls.count == 1)
            call.answer(200, Says.message())
            #expect(try await first.wait().head.status == 200)
            let second = try await stand.upstream.call(1)
            second.answer(200, Says.message())
            #expect(try await waiting.wait().head.status == 200)
        }
    }

    @Test("a full account is waited for, another one is taken at once")
    func accountSlots() async throws {
        var options = Stand.Options()
        options.accounts = 2
        options.concurrency = 1
        try await standing(options) { (stand) async throws in
            let first = stand.loop.start { try await stand.ask() }
            let one = try await stand.upstreams[0].call()
            let second = stand.loop.start { try await stand.ask() }
            let two = try await stand.upstreams[1].call()
            let third = stand.loop.start { try await stand.ask() }
            await stand.loop.wait { stand.metrics.slotWaits.value == 1 }
            #expect(!third.isFulfilled)
            two.answer(200, Says.message())
            #expect(try await second.wait().head.status == 200)
            let three = try await stand.upstreams[1].call(1)
            three.answer(200, Says.message())
            #expect(try await third.wait().head.status == 200)
            #expect(stand.metrics.slotWaits.value == 1)
            one.answer(200, Says.message())
            #expect(try await first.wait().head.status == 200)
        }
    }
}
