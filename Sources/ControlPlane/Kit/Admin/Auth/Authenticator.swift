import Crypto
package import Domain
import Formats
package import HTTPMessages
package import Postgres

/// Finds out who makes a call: a bearer token, or the session cookie with the CSRF header.
package struct Authenticator {
    package static let cookieName = "tollgate_session"
    package static let csrfHeader = "x-csrf-token"

    private let pool: PostgresPool

    package init(_ pool: PostgresPool) { self.pool = pool }

    package enum Credential: Equatable, Sendable {
        case bearer(String)
        case cookie(String)
        case none
    }

    /// What the head offers. A bearer token wins: a browser never sends one by itself.
    package static func credential(in headers: HeaderFields) -> Credential {
        if let value = headers["authorization"] {
            let parts = value.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "bearer" else { return .none }
            return .bearer(String(parts[1]).trimmed)
        }
        for line in headers.values("cookie") {
            for pair in line.split(separator: ";") {
                let parts = pair.split(separator: "=", maxSplits: 1)
                if parts.count == 2, String(parts[0]).trimmed == cookieName { return .cookie(String(parts[1]).trimmed) }
            }
        }
        return .none
    }

    /// - Throws: `Problem`, `PostgresError`.
    package func session(for head: HTTPRequestHead, now: Timestamp) async throws -> Session {
        let token: String
        let needsCSRF: Bool
        switch Self.credential(in: head.headers) {
        case .bearer(let text): (token, needsCSRF) = (text, false)
        case .cookie(let text): (token, needsCSRF) = (text, !["GET", "HEAD"].contains(head.method))
        case .none: throw Problem.signInNeeded
        }
        guard let session = try await SessionStore.find(tokenHash: SHA256.hex(token), now: now, in: pool) else {
            throw Problem.signInNeeded
        }
        if needsCSRF {
            let given = head.headers[Self.csrfHeader] ?? ""
            guard ConstantTime.equal(given, session.csrfToken) else {
                throw Problem(
                    403,
                    "csrf_token_wrong",
                    "With the session cookie, send the session's CSRF token as x-csrf-token."
                )
            }
        }
        return session
    }

    /// Makes a session; returns the token, which is kept nowhere.
    package static func start(
        for user: UserID,
        lasting lifetime: Duration,
        now: Timestamp,
        on connection: PostgresConnection
    ) async throws -> (token: String, csrfToken: String, expiresAt: Timestamp) {
        let token = "tgs_" + Base64.encode(SecureRandom.bytes(32), .url)
        let csrfToken = Base64.encode(SecureRandom.bytes(24), .url)
        let expiresAt = now + lifetime
        try await SessionStore.insert(
            tokenHash: SHA256.hex(token),
            csrfToken: csrfToken,
            user: user,
            expiresAt: expiresAt,
            on: connection
        )
        return (token, csrfToken, expiresAt)
    }

    /// The cookie's header value; an empty token takes it away.
    package static func cookie(_ token: String, lasting lifetime: Duration = .zero, isTLS: Bool) -> String {
        let seconds = token.isEmpty ? 0 : lifetime.components.seconds
        return "\(cookieName)=\(token); Path=/; HttpOnly; SameSite=Strict; Max-Age=\(seconds)"
            + (isTLS ? "; Secure" : "")
    }
}
