import Domain
import Formats
import HTTPMessages
import Postgres
import TestSupport
import Testing

@testable import ControlKit

extension AdminAPITests {
    @Suite("Signing in")
    struct SignIn {
        @Test("a login gives a token, a cookie, the user and an end twelve hours away")
        func login() async throws {
            try await withAdmin { admin in
                let answer = try await admin.login("ADMIN@Example.com", AdminServer.password)
                #expect(answer.status == 200)
                let token = try #require(answer["token"]?.string)
                #expect(answer["user"]?["email"] == .string(AdminServer.email))
                #expect(answer["user"]?["role"] == "admin")
                #expect(answer["user"]?["password"] == nil && answer["user"]?["password_hash"] == nil)
                let cookie = try #require(answer.headers["set-cookie"])
                #expect(cookie.contains("tollgate_session=\(token);"))
                #expect(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains("Secure"))
                #expect(answer.headers["cache-control"] == "no-store")
                let end = try #require(answer["expires_at"]?.string.flatMap { Timestamp(rfc3339: $0) })
                let hours = (end - Timestamp(microseconds: admin.now)).components.seconds / 3600
                #expect((11...12).contains(hours))
                // The database never has the token itself.
                #expect(
                    try await admin.count("select count(*) as count from sessions where token_hash like '%\(token)%'")
                        == 0
                )
            }
        }

        @Test("the setting says how long a session lasts and how many attempts there are at once")
        func policy() async throws {
            try await withAdmin { admin in
                let setting: JSON = ["session_hours": 100, "login_attempts": 2]
                #expect(try await admin.call("PUT", "/admin/settings/security", setting).status == 200)
                let answer = try await admin.login(AdminServer.email, AdminServer.password)
                #expect(answer.headers["set-cookie"]?.contains("Max-Age=360000") == true)
                let end = try #require(answer["expires_at"]?.string.flatMap { Timestamp(rfc3339: $0) })
                #expect((99...100).contains((end - Timestamp(microseconds: admin.now)).components.seconds / 3600))
                var statuses: [Int] = []
                for _ in 0..<3 { statuses.append(try await admin.login("guessed@example.com", "guess").status) }
                #expect(statuses == [401, 401, 429])
            }
        }

        @Test("a wrong password, an unknown address and a disabled user get the same refusal")
        func refused() async throws {
            try await withAdmin { admin in
                let user = try await admin.makeUser("off@example.com", ["status": "disabled"])
                #expect(user > 0)
                var texts: Set<String> = []
                for (email, password) in [
                    (AdminServer.email, "wrong"), ("nobody@example.com", "wrong"),
                    ("off@example.com", "a good password"),
                    ("' or 1=1 --", "wrong"), (AdminServer.email, "' or '1'='1"),
                ] {
                    let answer = try await admin.login(email, password)
                    #expect(answer.status == 401)
                    #expect(answer.headers["content-type"] == "application/problem+json")
                    #expect(answer.headers["set-cookie"] == nil)
                    texts.insert(answer["detail"]?.string ?? "")
                }
                #expect(texts.count == 1)
            }
        }

        @Test("who guesses is told to wait, who signs in well never is")
        func throttled() async throws {
            try await withAdmin { admin in
                for _ in 0..<15 {
                    #expect(try await admin.login(AdminServer.email, AdminServer.password).status == 200)
                }
                var statuses: [Int] = []
                var last: AdminServer.Answer?
                for _ in 0..<12 {
                    last = try await admin.login("victim@example.com", "guess")
                    statuses.append(last?.status ?? 0)
                }
                #expect(statuses.prefix(10).allSatisfy { $0 == 401 })
                #expect(statuses.last == 429)
                let wait = try #require(last?.headers["retry-after"].flatMap { Int($0) })
                #expect((1...6).contains(wait))
                // Another address may still try.
                #expect(try await admin.login("other@example.com", "guess").status == 401)
            }
        }

        @Test("behind a trusted proxy each client's address counts for itself, and is what the audit log names")
        func forwarded() async throws {
            try await withAdmin { admin in
                let setting: JSON = ["trusted_proxies": ["127.0.0.1"]]
                #expect(try await admin.call("PUT", "/admin/settings/security", setting).status == 200)
                // What was read before counts for up to a second.
                var isBelieved = false
                while !isBelieved {
                    let answer = try await admin.call(
                        "POST",
                        "/auth/login",
                        ["email": .string(AdminServer.email), "password": .string(AdminServer.password)],
                        headers: [("x-forwarded-proto", "https")],
                        token: .some(nil)
                    )
                    isBelieved = try #require(answer.headers["set-cookie"]).contains("Secure")
                }
                func login(_ number: Int, from client: String) async throws -> AdminServer.Answer {
                    try await admin.call(
                        "POST",
                        "/auth/login",
                        ["email": .string("nobody\(number)@example.com"), "password": "guess"],
                        headers: [("x-forwarded-for", client)],
                        token: .some(nil)
                    )
                }
                var last = 0
                for number in 0..<53 { last = try await login(number, from: "198.51.100.1, 203.0.113.7").status }
                #expect(last == 429)
                // What stands left of the address that the proxy saw is hearsay.
                #expect(try await login(60, from: "198.51.100.2, 203.0.113.7").status == 429)
                #expect(try await login(61, from: "203.0.113.8").status == 401)
                #expect(try await login(62, from: "203.0.113.7, 203.0.113.9").status == 401)
                let made = try await admin.call(
                    "POST",
                    "/admin/groups",
                    ["name": "forwarded", "platform": "anthropic"],
                    headers: [("x-forwarded-for", "2001:db8::7")]
                )
                #expect(made.status == 201)
                let audit = try await admin.call("GET", "/admin/audit?resource=group&resource_id=\(made.id)")
                #expect(audit.items.first?["ip"] == "2001:db8::7")
            }
        }

        @Test("without a session there is 401, with a user's own 403 for /admin")
        func roles() async throws {
            try await withAdmin { admin in
                _ = try await admin.makeUser()
                let token = try await admin.login("user@example.com", "a good password")["token"]?.string
                for path in [
                    "/admin/users", "/admin/groups", "/admin/accounts", "/admin/keys", "/admin/prices", "/admin/usage",
                    "/admin/audit", "/admin/settings/gateway",
                ] {
                    #expect(try await admin.call("GET", path, token: .some(nil)).status == 401)
                    #expect(try await admin.call("GET", path, token: "tgs_invented").status == 401)
                    #expect(try await admin.call("GET", path, token: token).status == 403)
                    #expect(try await admin.call("GET", path).status == 200)
                }
                let body: JSON = ["email": "x@example.com", "password": "a good password"]
                #expect(try await admin.call("POST", "/admin/users", body, token: token).status == 403)
                #expect(try await admin.call("GET", "/auth/me", token: token).status == 200)
                #expect(try await admin.call("GET", "/openapi.json", token: .some(nil)).status == 200)
            }
        }

        @Test("with the cookie a change needs the CSRF token, a look does not")
        func csrf() async throws {
            try await withAdmin { admin in
                let login = try await admin.login(AdminServer.email, AdminServer.password)
                let cookie = ("cookie", "x=y; tollgate_session=\(login["token"]?.string ?? "")")
                let csrf = try #require(login["csrf_token"]?.string)
                func call(_ method: String, _ headers: [(String, String)]) async throws -> Int {
                    try await admin.call(
                        method,
                        method == "GET" ? "/auth/me" : "/admin/groups",
                        method == "GET" ? nil : ["name": "G", "platform": "openai"],
                        headers: [cookie] + headers,
                        token: .some(nil)
                    ).status
                }
                #expect(try await call("GET", []) == 200)
                #expect(try await call("POST", []) == 403)
                #expect(try await call("POST", [("x-csrf-token", "wrong")]) == 403)
                #expect(try await call("POST", [("x-csrf-token", csrf)]) == 201)
                let me = try await admin.call("GET", "/auth/me", headers: [cookie], token: .some(nil))
                #expect(me["csrf_token"] == .string(csrf))
            }
        }

        @Test("a session ends with logout, with the user, and with time")
        func ends() async throws {
            try await withAdmin { admin in
                let id = try await admin.makeUser()
                func login() async throws -> String {
                    try #require(try await admin.login("user@example.com", "a good password")["token"]?.string)
                }
                let first = try await login()
                let second = try await login()
                #expect(try await admin.call("POST", "/auth/logout", token: first).status == 204)
                #expect(try await admin.call("GET", "/auth/me", token: first).status == 401)
                #expect(try await admin.call("GET", "/auth/me", token: second).status == 200)

                try await admin.plane.pool.execute(
                    "update sessions set expires_at = now() - interval '1 second' where user_id = \(id)"
                )
                #expect(try await admin.call("GET", "/auth/me", token: second).status == 401)

                let third = try await login()
                #expect(try await admin.call("PATCH", "/admin/users/\(id)", ["status": "disabled"]).status == 200)
                #expect(try await admin.call("GET", "/auth/me", token: third).status == 401)
                #expect(try await admin.count("select count(*) as count from sessions where user_id = \(id)") == 0)
            }
        }

        @Test("a changed password ends the other sessions and keeps this one")
        func password() async throws {
            try await withAdmin { admin in
                let other = try #require(
                    try await admin.login(AdminServer.email, AdminServer.password)["token"]?.string
                )
                let path = "/auth/password"
                let wrong = try await admin.call(
                    "POST",
                    path,
                    ["current_password": "no", "new_password": "another good one"]
                )
                #expect(wrong.status == 400 && wrong.faults == ["current_password"])
                let short = try await admin.call("POST", path, ["current_password": "no", "new_password": "short"])
                #expect(short.status == 400 && short.faults == ["new_password"])
                let right = try await admin.call(
                    "POST",
                    path,
                    ["current_password": .string(AdminServer.password), "new_password": "another good one"]
                )
                #expect(right.status == 204)
                #expect(try await admin.call("GET", "/auth/me").status == 200)
                #expect(try await admin.call("GET", "/auth/me", token: other).status == 401)
                #expect(try await admin.login(AdminServer.email, AdminServer.password).status == 401)
                #expect(try await admin.login(AdminServer.email, "another good one").status == 200)
            }
        }

        @Test("an admin resets a password, which ends that user's sessions")
        func reset() async throws {
            try await withAdmin { admin in
                let id = try await admin.makeUser()
                let token = try await admin.login("user@example.com", "a good password")["token"]?.string
                #expect(
                    try await admin.call("PATCH", "/admin/users/\(id)", ["password": "a better password"]).status == 200
                )
                #expect(try await admin.call("GET", "/auth/me", token: token).status == 401)
                #expect(try await admin.login("user@example.com", "a better password").status == 200)
            }
        }
    }
}

/// Each test has a control plane and a database of its own; one after the other, because a server has only so many
/// connections.
@Suite(
    "The admin API on a real database",
    .serialized,
    .enabled(if: PrivatePostgres.isAvailable, "needs PostgreSQL 15")
)
struct AdminAPITests {}
