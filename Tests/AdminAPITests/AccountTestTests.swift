import Domain
import Formats
import HTTPFetching
import HTTPMessages
import Reactor
import SimulatorKit
import TestSupport
import Testing

@testable import ControlKit

extension AdminServer {
    /// Runs a test call to its end; its events.
    func test(_ account: Int64, _ body: JSON? = nil) async throws -> [JSON] {
        let response = try await stream("POST", "/admin/accounts/\(account)/test", body)
        let bytes = try await response.collect(limit: 1 << 20)
        #expect(response.head.status == 200, "\(String(decoding: bytes, as: UTF8.self))")
        #expect(response.head.headers["content-type"] == "text/event-stream")
        var events: [JSON] = []
        var parser = SSEParser()
        try parser.feed(bytes) { event in
            let data = try JSON(Array(event.data))
            #expect(data["type"]?.string == String(decoding: event.name, as: UTF8.self))
            events.append(data)
        }
        return events
    }
}

extension AdminAPITests {
    @Suite("Test calls")
    struct TestCalls {
        private func trying(_ body: @escaping @Sendable (AdminServer, SimulatedUpstream) async throws -> Void)
            async throws
        {
            try await withAdmin { admin in
                let upstream = try SimulatedUpstream(admin.loop)
                try await body(admin, upstream)
                upstream.close()
            }
        }

        /// Accounts of every kind, with the token or key by which the simulator knows them.
        private static let kinds: [(platform: String, type: String, credentials: JSON, path: String)] = [
            ("anthropic", "apikey", ["api_key": "k-anthropic"], "/v1/messages"),
            ("anthropic", "oauth", ["api_key": .null, "access_token": "sk-ant-oat01-t"], "/v1/messages"),
            ("anthropic", "setup_token", ["api_key": .null, "access_token": "sk-ant-oat01-s"], "/v1/messages"),
            (
                "anthropic", "bedrock",
                ["api_key": "k-bedrock", "auth_mode": "apikey", "region": "us-east-1"], "/model/"
            ),
            ("openai", "apikey", ["api_key": "k-openai"], "/v1/chat/completions"),
            ("openai", "oauth", ["api_key": .null, "access_token": "chatgpt-t"], "/backend-api/codex/responses"),
            ("gemini", "apikey", ["api_key": "k-gemini"], "/v1beta/models/"),
            ("antigravity", "oauth", ["api_key": .null, "access_token": "ya29.t"], "/v1internal:"),
            ("antigravity", "apikey", ["api_key": "k-antigravity"], "/antigravity/"),
        ]

        private static func make(
            _ admin: AdminServer,
            _ upstream: SimulatedUpstream,
            _ kind: (platform: String, type: String, credentials: JSON, path: String),
            _ more: JSON = [:]
        ) async throws -> Int64 {
            let base = kind.path.hasPrefix("/backend-api") ? upstream.url + "/backend-api/codex" : upstream.url
            var credentials = kind.credentials
            credentials["base_url"] = .string(base)
            let account: JSON = [
                "name": .string("\(kind.platform) \(kind.type)"), "platform": .string(kind.platform),
                "type": .string(kind.type), "credentials": credentials,
            ]
            return try await admin.makeAccount(account.merged(with: more)).id
        }

        @Test("a call with an account of every kind goes the way a worker's would and streams its steps")
        func everyKind() async throws {
            try await trying { admin, upstream in
                for kind in Self.kinds {
                    let id = try await Self.make(admin, upstream, kind)
                    let events = try await admin.test(id)
                    let types = events.compactMap { $0["type"]?.string }
                    let steps = events.compactMap { $0["step"]?.string }
                    #expect(steps == ["credentials", "request", "answer"], "\(kind.platform) \(kind.type): \(events)")
                    #expect(types.contains("text") && types.last == "end", "\(kind.platform) \(kind.type): \(events)")
                    #expect(events.last?["success"] == true && events.last?["recovered"] == false)
                    #expect(events.first { $0["model"] != nil }?["model"]?.string?.isEmpty == false)
                    let asked = upstream.simulator.log.records(after: 0, limit: 1000).last
                    #expect(
                        asked?.head.path.hasPrefix(kind.path) == true,
                        "\(kind): \(String(describing: asked?.head.path))"
                    )
                }
                // The secrets stand in no event.
                #expect(try await admin.count("select count(*) from audit_log where action = 'test'") == 9)
            }
        }

        @Test("a model that is given is asked for, one that the account does not serve is refused")
        func models() async throws {
            try await trying { admin, upstream in
                let id = try await Self.make(
                    admin,
                    upstream,
                    Self.kinds[0],
                    ["model_mapping": ["mine": "claude-haiku-4-5", "dear": "claude-opus-4-5"]]
                )
                _ = try await admin.test(id, ["model": "dear"])
                let records = upstream.simulator.log.records(after: 0, limit: 10)
                #expect(try JSON(#require(records.last?.body))["model"] == "claude-opus-4-5")
                let other = try await admin.stream("POST", "/admin/accounts/\(id)/test", ["model": "other"])
                #expect(other.head.status == 400)
                _ = try await other.collect(limit: 1 << 16)
                let faulty = try await admin.call("POST", "/admin/accounts/\(id)/test", ["model": 3, "x": 1])
                #expect(faulty.status == 400 && faulty.faults == ["model", "x"])
                #expect(try await admin.call("POST", "/admin/accounts/999/test").status == 404)
            }
        }

        @Test("a refused credential puts the account in error, and a success afterwards ends it")
        func recovers() async throws {
            try await trying { admin, upstream in
                for kind in Self.kinds {
                    let id = try await Self.make(admin, upstream, kind)
                    let secret = try #require(
                        kind.credentials["access_token"]?.string ?? kind.credentials["api_key"]?.string
                    )
                    try await upstream.arm("401", secret)
                    let refused = try #require(try await admin.test(id).last)
                    #expect(refused["type"] == "error" && refused["status"] == 401, "\(kind): \(refused.text)")
                    #expect(refused["marked_error"] == true)
                    let broken = try await admin.call("GET", "/admin/accounts/\(id)")
                    #expect(broken["status"] == "error")
                    #expect(broken["error_message"]?.string?.hasPrefix("401") == true)
                    try await upstream.disarm()
                    let good = try #require(try await admin.test(id).last)
                    #expect(good["type"] == "end" && good["recovered"] == true, "\(kind): \(good.text)")
                    let mended = try await admin.call("GET", "/admin/accounts/\(id)")
                    #expect(mended["status"] == "active" && mended["error_message"] == .null)
                }
            }
        }

        @Test(
            "what is no refused credential leaves the account as it is",
            arguments: [
                "429", "500", "529", "403", "hang", "reset", "cut1", "garbage", "empty", "emptybody", "errevent0",
            ]
        )
        func failures(words: String) async throws {
            try await trying { admin, upstream in
                let id = try await Self.make(admin, upstream, Self.kinds[0])
                if words == "hang" {
                    // Who asks leaves: nothing is waited for.
                    try await upstream.arm(words, "k-anthropic")
                    let response = try await admin.stream("POST", "/admin/accounts/\(id)/test")
                    response.cancel()
                    while upstream.simulator.log.records(after: 0, limit: 10).isEmpty {
                        await admin.loop.sleep(.milliseconds(5))
                    }
                } else {
                    try await upstream.arm(words, "k-anthropic")
                    let last = try #require(try await admin.test(id).last)
                    #expect(last["type"] == "error" && last["marked_error"] == false, "\(last.text)")
                    #expect(last["message"]?.string?.isEmpty == false)
                }
                #expect(try await admin.call("GET", "/admin/accounts/\(id)")["status"] == "active")
            }
        }

        @Test("an account that an admin has taken out stays out, whatever a test says")
        func inactive() async throws {
            try await trying { admin, upstream in
                let id = try await Self.make(admin, upstream, Self.kinds[0], ["status": "inactive"])
                #expect(try await admin.test(id).last?["recovered"] == false)
                #expect(try await admin.call("GET", "/admin/accounts/\(id)")["status"] == "inactive")
                try await upstream.arm("401", "k-anthropic")
                #expect(try await admin.test(id).last?["marked_error"] == false)
                #expect(try await admin.call("GET", "/admin/accounts/\(id)")["status"] == "inactive")
            }
        }
    }
}
