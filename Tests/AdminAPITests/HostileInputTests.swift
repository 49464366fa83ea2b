import Formats
import HTTPMessages
import Testing

@testable import ControlKit

extension AdminAPITests {
    @Suite("Hostile input")
    struct HostileInput {
        private static let values: [JSON] = [
            .null, true, -1, 0, .int(.max), .int(.min), .double(1e300), .double(-0.5), "", " ", "\0", "a\0b", "•••",
            "\u{FFFD}\u{202E}", .string(String(repeating: "ä", count: 10_000)), "'; drop table users; --", "-1",
            "1e400",
            "NaN", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", [], [.null], [["a": "b"]], [:], ["a\0": "b"],
            ["a": ["b": ["c": "\0"]]], ["auth_mode": "\0", "sign_in_state": "\0"],
            .array(Array(repeating: 1, count: 300)),
        ]

        private static let bases: [String: JSON] = [
            "users": ["email": "new@example.com", "password": "a good password"],
            "groups": ["name": "new", "platform": "anthropic"],
            "accounts": [
                "name": "new", "platform": "anthropic", "type": "apikey",
                "credentials": ["api_key": "k", "sign_in_state": "x\0"],
            ],
            "keys": ["name": "new", "user_id": 2, "group_id": 1],
            "prices": ["model": "new", "input": "1"],
            "proxies": ["name": "new", "protocol": "http", "host": "localhost", "port": 1],
        ]

        @Test("no value in any field of any form makes a server error, and the books still add up")
        func fields() async throws {
            try await withAdmin { admin in
                admin.plane.changes.onCommitted = nil
                _ = try await admin.makeGroup()
                _ = try await admin.makeUser()
                let account = try await admin.makeAccount()
                var counts: [Int: Int] = [:]
                for (resource, base) in Self.bases.sorted(by: { $0.key < $1.key }) {
                    let path = "/admin/\(resource)"
                    let schema = try await admin.requestSchema("/api/v1" + path)
                    for name in schema {
                        for value in Self.values {
                            var body = base
                            body[name] = value
                            let answer = try await admin.call("POST", path, body)
                            #expect(answer.status < 500, "POST \(path) \(name) \(value.text.prefix(80))")
                            counts[answer.status, default: 0] += 1
                            if answer.status == 201 {
                                #expect(try await admin.call("DELETE", path + "/\(answer.id)").status == 204)
                            }
                            guard resource == "accounts" else { continue }
                            let patch = try await admin.call("PATCH", path + "/\(account.id)", [name: value])
                            #expect(patch.status < 500, "PATCH \(path) \(name) \(value.text.prefix(80))")
                        }
                    }
                }
                #expect((counts[400] ?? 0) > 500 && (counts[201] ?? 0) > 50)
                #expect(try await admin.count("select count(*) as count from users where deleted_at is null") == 2)
            }
        }

        @Test("no query makes a server error")
        func queries() async throws {
            try await withAdmin { admin in
                let values = [
                    "", "%00", "'", "-1", "99999999999999999999", "%ff%fe", "a%20or%201=1", "9999-12-31T23:59:59Z",
                    "%F0%9F%90%A2",
                ]
                for path in [
                    "users", "groups", "accounts", "keys", "prices", "proxies", "audit", "usage", "users/1/balance",
                ] {
                    for name in [
                        "page", "page_size", "sort", "q", "cursor", "user_id", "group_id", "status", "from", "to",
                        "model", "request_id", "%00", "sort%20",
                    ] {
                        for value in values {
                            let answer = try await admin.call("GET", "/admin/\(path)?\(name)=\(value)")
                            #expect(answer.status < 500, "\(path)?\(name)=\(value)")
                        }
                    }
                }
            }
        }
    }
}

extension AdminServer {
    /// The names of the fields that creation at this path takes, from the API's own description.
    func requestSchema(_ path: String) async throws -> [String] {
        let document = try await call("GET", "/openapi.json").body
        let schema = document["paths"]?[path]?["post"]?["requestBody"]?["content"]?["application/json"]?["schema"]
        return try #require(schema?["properties"]?.object).map(\.key)
    }
}
