import Crypto
import Domain
import Formats
import Providers
import Service
import Testing

@testable import ControlKit

@Suite("Parts of signing in")
struct SignInPartTests {
    // MARK: Configuration

    private static let whole = [
        "CLIENT_ID": "id-1", "TOKEN_URL": "https://auth.example/token", "AUTHORIZE_URL": "https://auth.example/go",
        "REDIRECT_URL": "http://localhost:1455/callback", "SCOPES": "openid  email", "AUTHORIZE_PARAMS": "a=b c&d=",
        "CLIENT_SECRET": "s",
    ]

    private static func read(_ values: [String: String]) -> (clients: OAuthClients, faults: [String]) {
        let environment = Dictionary(uniqueKeysWithValues: values.map { ("TOLLGATE_OAUTH_OPENAI_\($0.key)", $0.value) })
        var reader = ConfigReader(environment: environment)
        let clients = OAuthClients(&reader)
        return (clients, reader.faults.map { String($0.key.dropFirst("TOLLGATE_OAUTH_OPENAI_".count)) }.sorted())
    }

    @Test("a client is read whole, and a platform without settings has none")
    func clients() throws {
        let (clients, faults) = Self.read(Self.whole)
        #expect(faults == [])
        let client = try #require(clients[.openai])
        #expect(client.id == "id-1" && client.secret == Secret("s"))
        #expect(client.page?.scopes == ["openid", "email"])
        #expect(client.page?.parameters == [.init("a", "b c"), .init("d", "")])
        #expect(clients[.anthropic] == nil && Self.read([:]).clients[.openai] == nil)
        let renewing = Self.read(["CLIENT_ID": "i", "TOKEN_URL": "http://127.0.0.1:9/t"])
        #expect(renewing.faults == [] && renewing.clients[.openai] != nil && renewing.clients[.openai]?.page == nil)
    }

    @Test(
        "every fault is listed, and no address of a metadata service gets in",
        arguments: [
            (["SCOPES": "a"], ["AUTHORIZE_URL", "CLIENT_ID", "REDIRECT_URL", "TOKEN_URL"]),
            (["CLIENT_ID": "i"], ["TOKEN_URL"]), (["CLIENT_SECRET": "s"], ["CLIENT_ID", "TOKEN_URL"]),
            (["TOKEN_URL": "ftp://x/", "AUTHORIZE_URL": "javascript:alert(1)"], ["AUTHORIZE_URL", "TOKEN_URL"]),
            (["TOKEN_URL": "http://169.254.169.254/token"], ["TOKEN_URL"]),
            (
                ["AUTHORIZE_URL": "http://metadata.google.internal/", "REDIRECT_URL": "http://[fe80::1]/"],
                ["AUTHORIZE_URL", "REDIRECT_URL"]
            ),
            (
                ["AUTHORIZE_PARAMS": "state=x&=y", "SCOPES": "a \"b\""],
                ["AUTHORIZE_PARAMS", "AUTHORIZE_PARAMS", "SCOPES"]
            ),
            (["AUTHORIZE_URL": "https://auth.example/go?a=b"], ["AUTHORIZE_URL"]),
        ]
    )
    func faults(_ change: [String: String], _ expected: [String]) {
        let isPartial = ["SCOPES", "CLIENT_ID", "CLIENT_SECRET"].contains(change.keys.first) && change.count == 1
        let values = isPartial ? change : Self.whole.merging(change) { $1 }
        #expect(Self.read(values).faults == expected)
    }

    @Test("the operator's secret goes to the operator's endpoint with the operator's client, nowhere else")
    func ownClients() throws {
        let clients = Self.read(Self.whole).clients
        func client(_ plain: [String: String], _ secrets: [String: String] = [:]) -> SignInClient? {
            clients.client(for: .openai, plain: plain, secrets: secrets)
        }
        #expect(client([:])?.secret == Secret("s") && client([:])?.tokenURL == "https://auth.example/token")
        #expect(client(["token_url": "https://evil.example/"])?.secret == nil)
        #expect(client(["client_id": "other"])?.secret == nil)
        #expect(client(["client_id": "id-1"])?.secret == Secret("s"))
        #expect(client(["client_id": "other"], ["client_secret": "own"])?.secret == Secret("own"))
        #expect(clients.client(for: .gemini, plain: [:], secrets: [:]) == nil)
        #expect(clients.client(for: .gemini, plain: ["client_id": "i"], secrets: [:]) == nil)
        #expect(clients.client(for: .gemini, plain: ["client_id": "i", "token_url": "u"], secrets: [:])?.id == "i")
    }

    // MARK: What is pasted

    @Test(
        "a code comes back in many ways",
        arguments: [
            ("http://localhost:1455/cb?code=c%2F1&state=s", PastedCode.code("c/1", state: "s")),
            ("  https://x/?state=s&code=c#fragment \n", .code("c", state: "s")),
            ("?code=c&state=s", .code("c", state: "s")),
            ("c#s", .code("c", state: "s")),
            (
                "http://x/?error=access_denied&error_description=no+way&state=s",
                .refused("access_denied (no way)", state: "s")
            ),
        ]
    )
    func pasted(_ text: String, _ expected: PastedCode) throws {
        #expect(try PastedCode(pasted: text) == expected)
    }

    @Test(
        "what has no code or no state is refused",
        arguments: [
            ("", PastedCode.Fault.noCode), ("http://x/?state=s", .noCode), ("http://x/?code=c", .noState),
            ("justacode", .noState), ("#s", .noCode), ("http://x/?code=&state=s", .noCode),
            (String(repeating: "c", count: 9000) + "#s", .noCode),
        ]
    )
    func notPasted(_ text: String, _ fault: PastedCode.Fault) {
        #expect(throws: fault) { try PastedCode(pasted: text) }
    }

    // MARK: When to renew

    private static func time(_ seconds: Int64) -> Timestamp { Timestamp(microseconds: seconds * 1_000_000) }

    @Test("a token is renewed a fifth of its life before its end, an hour at most, half of it at most")
    func lead() {
        for (life, lead) in [
            (28_800, 3600), (864_000, 3600), (3599, 719), (300, 60), (100, 50), (4, 2), (0, 600), (-5, 600),
        ] as [(Int64, Int64)] {
            #expect(RefreshPlanner.lead(lifetime: .seconds(life)).components.seconds == lead, "\(life)")
        }
        #expect(RefreshPlanner.lead(lifetime: nil) == .seconds(600))
    }

    @Test("each account has its own moment, never after the lead begins and at most half a lead before")
    func spread() {
        var moments: Set<Int64> = []
        for account in 1...200 {
            let candidate = RefreshPlanner.Candidate(
                AccountID(Int64(account)),
                expiresAt: Self.time(28_800),
                issuedAt: Self.time(0)
            )
            let due = RefreshPlanner.due(candidate) ?? Self.time(0)
            #expect(due == RefreshPlanner.due(candidate))
            #expect(due <= Self.time(25_200) && due >= Self.time(23_400))
            moments.insert(due.microseconds / 60_000_000)
        }
        #expect(moments.count > 20)
    }

    @Test("what is due comes most urgent first; failed ones wait, those without an end are left to calls")
    func due() {
        let now = Self.time(10_000)
        let candidates = [
            RefreshPlanner.Candidate(AccountID(1), expiresAt: Self.time(10_300)),
            .init(AccountID(2), expiresAt: Self.time(9_000)), .init(AccountID(3), expiresAt: Self.time(90_000)),
            .init(AccountID(4)), .init(AccountID(5), isComplete: false),
            .init(AccountID(6), expiresAt: Self.time(9_000), retryAt: Self.time(10_001)),
            .init(AccountID(7), expiresAt: Self.time(9_500), retryAt: Self.time(9_999)),
        ]
        #expect(RefreshPlanner.due(candidates, now: now) == [5, 2, 7, 1].map { AccountID($0) })
    }

    @Test("failures are followed by longer and longer waits, bounded whatever the endpoint wishes")
    func backoff() {
        #expect(RefreshPlanner.backoff(failures: 1) == .seconds(15))
        #expect(RefreshPlanner.backoff(failures: 3) == .seconds(60))
        #expect(RefreshPlanner.backoff(failures: .max) == .seconds(960))
        #expect(RefreshPlanner.backoff(failures: 1, retryAfter: .seconds(100)) == .seconds(100))
        #expect(RefreshPlanner.backoff(failures: 1, retryAfter: .seconds(100_000)) == .seconds(3600))
        #expect(RefreshPlanner.backoff(failures: -3, retryAfter: .zero) == .seconds(15))
    }

    // MARK: Tokens in forms

    @Test("a new token takes what belonged to the old one along, unless it is said anew")
    func replacedTokens() throws {
        let stored = StoredCredentials(
            plain: ["expires_at": "2026-01-01T00:00:00Z", "base_url": "https://x.example"],
            sealedFields: ["access_token", "refresh_token"],
            sealed: "",
            version: 4
        )
        func edit(_ text: String) throws -> CredentialEdit {
            let (edit, faults) = CredentialForm.edit(
                try JSON(text: text),
                of: stored,
                platform: .openai,
                type: .oauth
            )
            #expect(faults == [])
            return edit
        }
        let refresh = try edit(#"{"refresh_token":"r2"}"#)
        #expect(refresh.sealedFields == ["refresh_token"] && refresh.plain == ["base_url": "https://x.example"])
        let access = try edit(#"{"access_token":"a2"}"#)
        #expect(access.sealedFields == ["access_token", "refresh_token"] && access.plain["expires_at"] == nil)
        let masked = try edit(
            #"{"refresh_token":"r2","access_token":"•••","expires_at":"2026-01-01T00:00:00Z","refresh_error":"x"}"#
        )
        #expect(masked.sealedFields == ["access_token", "refresh_token"] && masked.plain == stored.plain)
        #expect(
            try edit(#"{"access_token":"•••","refresh_token":"•••","sign_in_state":"signed_in"}"#).changes(stored)
                == false
        )
    }
}
