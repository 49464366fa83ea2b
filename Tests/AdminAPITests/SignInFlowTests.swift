import Crypto
import Domain
import Formats
import HTTPFetching
import HTTPMessages
import Postgres
import Reactor
import SimulatorKit
import TestSupport
import Testing

@testable import ControlKit

/// The simulator, and a control plane whose sign-ins lead to it.
private final class SignInStand {
    let admin: AdminServer
    let simulator: Simulator
    let address: SocketAddress
    private let client: HTTPClient

    init(_ loop: EventLoop, database: String) async throws {
        simulator = Simulator(loop)
        address = try simulator.listen(on: try #require(SocketAddress("127.0.0.1:0")))
        admin = try await AdminServer.start(loop, database: database, Self.settings("http://\(address)"))
        client = try HTTPClient(loop)
    }

    private static func settings(_ base: String) -> [String: String] {
        var settings: [String: String] = [:]
        for (platform, page, token) in [
            ("ANTHROPIC", "/oauth/authorize", "/v1/oauth/token"), ("OPENAI", "/oauth/authorize", "/oauth/token"),
            ("GEMINI", "/o/oauth2/v2/auth", "/token"), ("ANTIGRAVITY", "/o/oauth2/v2/auth", "/token"),
        ] {
            let prefix = "TOLLGATE_OAUTH_\(platform)_"
            settings[prefix + "CLIENT_ID"] = "client-\(platform)"
            settings[prefix + "TOKEN_URL"] = base + token
            settings[prefix + "AUTHORIZE_URL"] = base + page
            settings[prefix + "REDIRECT_URL"] = "http://localhost:1455/callback"
            settings[prefix + "SCOPES"] = "openid email"
        }
        return settings
    }

    /// Signs in in the browser's place; answers where it is sent.
    func browse(_ url: String) async throws -> String {
        let target = String(url.dropFirst("http://\(address)".count))
        let response = try await client.send(
            FetchRequest(
                to: Endpoint(isTLS: false, host: address.ip, port: address.port),
                HTTPRequestHead(method: "GET", target: target)
            )
        )
        _ = try await response.collect(limit: 1 << 16)
        #expect(response.head.status == 302)
        return try #require(response.head.headers["location"])
    }

    func start(_ body: JSON) async throws -> AdminServer.Answer {
        try await admin.call("POST", "/admin/accounts/oauth/start", body)
    }

    func finish(_ body: JSON, token: String?? = nil) async throws -> AdminServer.Answer {
        try await admin.call("POST", "/admin/accounts/oauth/finish", body, token: token)
    }

    /// From the start to where the browser was sent.
    func signedIn(_ body: JSON) async throws -> String {
        let started = try await start(body)
        #expect(started.status == 200, "\(started.body.text)")
        return try await browse(try #require(started["url"]?.string))
    }

    func secrets(_ id: Int64) async throws -> [String: String] {
        let rows = try await admin.plane.pool.query(
            "select credentials_sealed from accounts where id = $1",
            [.integer(id)]
        )
        let sealed = try #require(rows.first).text("credentials_sealed")
        return try CredentialSealing(try #require(admin.plane.config.masterKeys)).open(sealed, of: AccountID(id))
    }

    func stop() async {
        client.close()
        await admin.stop()
    }
}

private func withSignIn(_ body: @escaping @Sendable (SignInStand) async throws -> Void) async throws {
    let database = try await PrivatePostgres.admin().newDatabase()
    try await onLoop { loop in
        let stand = try await SignInStand(loop, database: database)
        do {
            try await body(stand)
        } catch {
            await stand.stop()
            throw error
        }
        await stand.stop()
    }
}

extension AdminAPITests {
    @Suite("Signing accounts in")
    struct SignInFlows {
        @Test(
            "an admin signs an account in on every platform, by the address that the browser was sent to",
            arguments: ["anthropic", "openai", "gemini", "antigravity"]
        )
        func everyPlatform(_ platform: String) async throws {
            try await withSignIn { stand in
                let address = try await stand.signedIn(["platform": .string(platform)])
                let answer = try await stand.finish([
                    "redirect_url": .string(address),
                    "account": ["name": "login", "priority": 7, "credentials": ["base_url": "http://127.0.0.1:9"]],
                ])
                #expect(answer.status == 200, "\(answer.body.text)")
                #expect(answer["platform"] == .string(platform) && answer["type"] == "oauth")
                #expect(answer["priority"] == 7 && answer["name"] == "login" && answer["status"] == "active")
                let credentials = try #require(answer["credentials"])
                #expect(credentials["access_token"] == "•••" && credentials["refresh_token"] == "•••")
                #expect(credentials["base_url"] == "http://127.0.0.1:9" && credentials["email"] == "sim@example.com")
                #expect(credentials["sign_in_state"] == "signed_in")
                let end = try #require(credentials["expires_at"]?.string.flatMap { RFC3339.parse($0) })
                #expect(end > 1_790_000_000_000_000)
                if platform == "openai" {
                    #expect(credentials["account_id"] == "00000000-0000-4000-8000-00000000051c")
                }
                let secrets = try await stand.secrets(answer.id)
                #expect(secrets["access_token"]?.isEmpty == false && secrets["refresh_token"]?.isEmpty == false)
                // Nowhere in the database is a token in clear.
                for text in secrets.values {
                    for table in ["accounts", "audit_log", "sign_ins", "outbox"] {
                        #expect(
                            try await stand.admin.plane.pool.query(
                                "select 1 as one from \(table) t where t::text like '%' || $1 || '%'",
                                [.text(text)]
                            ).isEmpty
                        )
                    }
                }
                // It is good once.
                let again = try await stand.finish([
                    "redirect_url": .string(address), "account": ["name": "second"],
                ])
                #expect(again.status == 409)
                #expect(try await stand.admin.count("select count(*) as count from sign_ins") == 0)
            }
        }

        @Test("an account in error is signed in again: new tokens, active, everything else as it was")
        func again() async throws {
            try await withSignIn { stand in
                let first = try await stand.finish([
                    "redirect_url": .string(try await stand.signedIn(["platform": "anthropic"])),
                    "account": ["name": "login", "priority": 7],
                ])
                let before = try await stand.secrets(first.id)
                try await stand.admin.plane.pool.execute(
                    """
                    update accounts set status = 'error', error_message = 'gone', needs_sign_in = true,
                        refresh_error = 'gone'
                    """
                )
                let broken = try await stand.admin.call("GET", "/admin/accounts/\(first.id)")
                #expect(broken["credentials"]?["sign_in_state"] == "needs_reauth")
                #expect(broken["credentials"]?["refresh_error"] == "gone")
                let address = try await stand.signedIn(["platform": "anthropic", "account_id": .int(first.id)])
                let refused = try await stand.finish(["redirect_url": .string(address), "account": ["name": "x"]])
                #expect(refused.status == 400 && refused.faults == ["account"])
                let answer = try await stand.finish(["redirect_url": .string(address)])
                #expect(answer.status == 200, "\(answer.body.text)")
                #expect(answer.id == first.id && answer["priority"] == 7 && answer["status"] == "active")
                #expect(answer["error_message"] == .null)
                #expect(answer["credentials"]?["sign_in_state"] == "signed_in")
                #expect(answer["credentials"]?["refresh_error"] == nil)
                let after = try await stand.secrets(first.id)
                #expect(after["refresh_token"] != before["refresh_token"])
                #expect(try await stand.admin.count("select credentials_version as count from accounts") == 2)
                #expect(
                    try await stand.admin.count("select count(*) as count from audit_log where action = 'sign_in'") == 1
                )
            }
        }

        @Test(
            "a login whose refresh token was refused is renewed again once it is recovered, tested well or set active",
            arguments: ["recover", "test", "status"]
        )
        func recovered(how: String) async throws {
            try await withSignIn { stand in
                let base: JSON = .string("http://\(stand.address)")
                let id = try await stand.finish([
                    "redirect_url": .string(try await stand.signedIn(["platform": "anthropic"])),
                    "account": ["name": "login", "credentials": ["base_url": base]],
                ]).id
                let path = "/admin/accounts/\(id)"
                try await stand.admin.plane.pool.execute(
                    """
                    update accounts set status = 'error', error_message = 'gone', needs_sign_in = true,
                        refresh_error = 'gone', refresh_failures = 3, refresh_retry_at = now() + interval '1 hour'
                    """
                )
                let broken = try await stand.admin.call("GET", path)
                #expect(broken["credentials"]?["sign_in_state"] == "needs_reauth")
                switch how {
                case "recover": _ = try await stand.admin.call("POST", path + "/recover")
                case "test":
                    let end = try await stand.admin.test(id).last
                    #expect(end?["type"] == "end" && end?["recovered"] == true, "\(String(describing: end?.text))")
                default: _ = try await stand.admin.call("PATCH", path, ["status": "active"])
                }
                let well = try await stand.admin.call("GET", path)
                #expect(well["status"] == "active" && well["credentials"]?["sign_in_state"] == "signed_in")
                let candidates = try await stand.admin.plane.pool.withConnection { try await TokenStore.candidates($0) }
                #expect(candidates.map(\.candidate.account.raw) == [id])
                #expect(candidates.first?.candidate.retryAt == nil)
            }
        }

        @Test("code and state may come by themselves, or as code#state")
        func codes() async throws {
            try await withSignIn { stand in
                for (index, isJoined) in [true, false].enumerated() {
                    let address = try await stand.signedIn(["platform": "gemini"])
                    let head = HTTPRequestHead(method: "GET", target: address)
                    let code = try #require(head.queryValue("code"))
                    let state = try #require(head.queryValue("state"))
                    let account: JSON = ["name": .string("a\(index)")]
                    let body: JSON =
                        isJoined
                        ? ["code": .string("\(code)#\(state)"), "account": account]
                        : ["code": .string(code), "state": .string(state), "account": account]
                    #expect(try await stand.finish(body).status == 200)
                }
            }
        }

        @Test("a state is good in the session that began it only, for ten minutes, and once, also for two at a time")
        func states() async throws {
            try await withSignIn { stand in
                let address = try await stand.signedIn(["platform": "gemini"])
                let body: JSON = ["redirect_url": .string(address), "account": ["name": "a"]]
                let other = try await stand.admin.login(AdminServer.email, AdminServer.password)
                let stranger = try await stand.finish(body, token: .some(try #require(other["token"]?.string)))
                #expect(stranger.status == 409)
                try await stand.admin.plane.pool.execute(
                    "update sign_ins set expires_at = now() - interval '1 second'"
                )
                #expect(try await stand.finish(body).status == 409)
                try await stand.admin.plane.pool.execute(
                    "update sign_ins set expires_at = now() + interval '1 minute'"
                )
                let both = try await stand.admin.together(2) { index in
                    try await stand.finish([
                        "redirect_url": .string(address), "account": ["name": .string("a\(index)")],
                    ])
                }
                #expect(both.map(\.status).sorted() == [200, 409])
                let forged = address.replacing("state=", with: "state=x")
                #expect(try await stand.finish(["redirect_url": .string(forged)]).status == 409)
            }
        }

        @Test("all that is wrong with the new account is told before the code is used up")
        func faults() async throws {
            try await withSignIn { stand in
                _ = try await stand.admin.makeAccount(["name": "taken"])
                let address = try await stand.signedIn(["platform": "openai"])
                let wrong = try await stand.finish([
                    "redirect_url": .string(address),
                    "account": [
                        "priority": "high", "group_ids": [99], "colour": 1,
                        "credentials": ["base_url": "http://169.254.169.254/", "api_key": "k"],
                    ],
                ])
                #expect(wrong.status == 400)
                #expect(
                    wrong.faults == [
                        "account.colour", "account.credentials.api_key", "account.credentials.base_url",
                        "account.group_ids[0]", "account.name", "account.priority",
                    ]
                )
                let taken = try await stand.finish(["redirect_url": .string(address), "account": ["name": "taken"]])
                #expect(taken.status == 409 && taken.faults == ["account.name"])
                let own = try await stand.finish([
                    "redirect_url": .string(address), "account": ["name": "x", "type": "apikey"],
                ])
                #expect(own.status == 400)
                #expect(
                    try await stand.finish(["redirect_url": .string(address), "account": ["name": "free"]]).status
                        == 200
                )
                for (body, field) in [
                    ([:], "code"), (["code": "c"], "state"), (["redirect_url": "http://x/?state=s"], "redirect_url"),
                    (["redirect_url": "http://x/?code=c"], "redirect_url"),
                    (["redirect_url": "c#s", "code": "c"], "redirect_url"),
                ] as [(JSON, String)] {
                    let answer = try await stand.finish(body)
                    #expect(answer.status == 400 && answer.faults == [field], "\(body.text)")
                }
            }
        }

        @Test("a sign-in begins only for what is configured and there, every fault at once")
        func starts() async throws {
            try await withSignIn { stand in
                let gemini = try await stand.admin.makeAccount()
                let wrong = try await stand.start([
                    "platform": "openai", "account_id": .int(gemini.id), "proxy_id": 99,
                ])
                #expect(wrong.status == 400 && wrong.faults == ["account_id", "proxy_id"])
                #expect(try await stand.start(["platform": "bedrock"]).faults == ["platform"])
                #expect(try await stand.start([:]).faults == ["platform"])
                let platforms = try await stand.admin.call("GET", "/admin/accounts/oauth/platforms")
                #expect(platforms.items.count == 4 && platforms.items.allSatisfy { $0["sign_in"] == true })
            }
            try await withAdmin { admin in
                let answer = try await admin.call("POST", "/admin/accounts/oauth/start", ["platform": "openai"])
                #expect(answer.status == 400 && answer.faults == ["platform"])
                #expect(answer.body.text.contains("TOLLGATE_OAUTH_OPENAI_AUTHORIZE_URL"))
            }
        }

        @Test("a page that sends back an error, and an endpoint that refuses, are told; nothing is made")
        func refusals() async throws {
            try await withSignIn { stand in
                let started = try await stand.start(["platform": "openai"])
                let state = try #require(started["state"]?.string)
                let denied = try await stand.finish([
                    "redirect_url": .string("http://x/?error=access_denied&state=\(state)"), "account": ["name": "a"],
                ])
                #expect(denied.status == 409 && denied["detail"]?.string?.contains("access_denied") == true)
                let second = try await stand.start(["platform": "openai"])
                let wrong = try await stand.finish([
                    "code": "never-issued", "state": try #require(second["state"]), "account": ["name": "a"],
                ])
                #expect(wrong.status == 409 && wrong["detail"]?.string?.contains("invalid_grant") == true)
                #expect(!wrong.body.text.contains("never-issued"))
                #expect(try await stand.admin.count("select count(*) as count from accounts") == 0)
            }
        }

        @Test("an edit that races with a renewal keeps both, and a mask sent back keeps the renewed token")
        func maskAfterRenewal() async throws {
            try await withSignIn { stand in
                let account = try await stand.finish([
                    "redirect_url": .string(try await stand.signedIn(["platform": "openai"])),
                    "account": ["name": "login"],
                ])
                let shown = try #require(account["credentials"])
                // A renewal in between, as the writer of tokens makes it.
                let pool = stand.admin.plane.pool
                let record = try #require(
                    try await pool.withConnection { try await AccountStore.find(AccountID(account.id), on: $0) }
                )
                let sealing = CredentialSealing(try #require(stand.admin.plane.config.masterKeys))
                let edit = CredentialEdit(
                    plain: record.credentials.plain,
                    sealedFields: record.credentials.sealedFields,
                    newSecrets: ["access_token": "renewed", "refresh_token": "rotated"]
                )
                let sealed = try sealing.apply(edit, to: record.credentials, of: record.id)
                let isWritten = try await pool.withConnection {
                    try await TokenStore.replace(
                        of: record,
                        with: sealed,
                        issuedAt: record.createdAt,
                        isSeenByWorkers: false,
                        on: $0
                    )
                }
                #expect(isWritten)
                // The form that was opened before sends back what it was shown.
                let answer = try await stand.admin.call(
                    "PATCH",
                    "/admin/accounts/\(account.id)",
                    ["credentials": shown, "priority": 3]
                )
                #expect(answer.status == 200 && answer["priority"] == 3)
                #expect(
                    try await stand.secrets(account.id) == ["access_token": "renewed", "refresh_token": "rotated"]
                )
            }
        }
    }
}
