import Domain
import Formats
import Postgres
import Reactor

/// `/auth`: signing in and out, and changing one's password.
package final class AuthRoutes {
    private let context: AdminContext
    private var throttle: LoginThrottle

    package init(_ context: AdminContext, throttle: LoginThrottle = LoginThrottle()) {
        self.context = context
        self.throttle = throttle
    }

    struct Login {
        var email = ""
        var password = ""
        var totp: String?
    }
    struct PasswordChange {
        var current = ""
        var new = ""
    }

    private let loginForm = Form<Login>([
        .required("email", \.email, .text(1...254)),
        .required("password", \.password, .secret(1...UserForm.passwordLength.upperBound)),
        .optional("totp", \.totp, ValueKind<String>.text(0...20).orNil, default: nil),
    ])
    private let passwordForm = Form<PasswordChange>([
        .required("current_password", \.current, .secret(1...UserForm.passwordLength.upperBound)),
        .required("new_password", \.new, .secret(UserForm.passwordLength)),
    ])

    package var routes: [Route] {
        let user = UserView.view.schema
        let whoSchema: JSON = [
            "type": "object", "properties": ["user": user, "csrf_token": Schema.text, "expires_at": Schema.time],
        ]
        return [
            Route(
                "POST",
                "/api/v1/auth/login",
                .open,
                "Sign in",
                body: loginForm.schema(for: .create),
                answer: [
                    "type": "object",
                    "properties": [
                        "token": Schema.text, "csrf_token": Schema.text, "expires_at": Schema.time, "user": user,
                    ],
                ],
                handler: login
            ),
            Route("POST", "/api/v1/auth/logout", .session, "End this session", status: 204, handler: logout),
            Route("GET", "/api/v1/auth/me", .session, "Who is signed in", answer: whoSchema, handler: me),
            Route(
                "POST",
                "/api/v1/auth/password",
                .session,
                "Change one's password; other sessions end",
                body: passwordForm.schema(for: .create),
                status: 204,
                handler: changePassword
            ),
        ]
    }

    private func login(_ request: AdminRequest) async throws -> AdminAnswer {
        let login = try loginForm.draft(from: request.body, startingWith: Login())
        let policy = try await policy()
        try takeAttempt(login.email, policy, request)
        let found = try await context.pool.query(
            """
            select \(UserStore.columns), u.password_hash from users u
            where lower(u.email) = lower($1) and u.deleted_at is null
            """,
            [.text(login.email)]
        ).first
        // The work is the same whether or not there is such a user, and so is the refusal.
        let hash = try found?.text("password_hash") ?? PasswordHash.nobody
        let isValid = try await context.passwords.isValid(login.password, hash)
        guard isValid, let found else { throw Self.refused }
        let user = try UserStore.record(found)
        guard user.fields.status == .active else { throw Self.refused }
        throttle.succeed(email: login.email, address: request.clientIP, now: .now)

        let author = ChangeAuthor(user: user.id, ip: request.clientIP)
        let session = try await context.changes.commit(by: author) { change in
            try await SessionStore.deleteExpired(now: request.now, on: change.connection)
            change.audit("login", "session", user.id.raw)
            return try await Authenticator.start(
                for: user.id,
                lasting: policy.sessionLifetime,
                now: request.now,
                on: change.connection
            )
        }
        let cookie = Authenticator.cookie(session.token, lasting: policy.sessionLifetime, isTLS: request.isTLS)
        return AdminAnswer(
            200,
            [
                "token": .string(session.token), "csrf_token": .string(session.csrfToken),
                "expires_at": .time(session.expiresAt), "user": UserView.view.json(user),
            ],
            headers: [("set-cookie", cookie)]
        )
    }

    private static let refused = Problem(401, "sign_in_refused", "The e-mail address or the password is wrong.")

    private func policy() async throws -> LoginPolicy {
        LoginPolicy(try await context.pool.withConnection { try await SettingsStore.find("security", on: $0) })
    }

    private func takeAttempt(_ email: String, _ policy: LoginPolicy, _ request: AdminRequest) throws {
        throttle.emailBurst = Double(policy.attemptsAtOnce)
        if let wait = throttle.take(email: email, address: request.clientIP, now: .now) {
            throw Problem.tooManyRequests(retryAfterSeconds: wait, "Too many attempts to sign in; wait and try again.")
        }
    }

    private func logout(_ request: AdminRequest) async throws -> AdminAnswer {
        try await SessionStore.end(tokenHash: try request.signedIn().tokenHash, in: context.pool)
        return AdminAnswer(204, nil, headers: [("set-cookie", Authenticator.cookie("", isTLS: request.isTLS))])
    }

    private func me(_ request: AdminRequest) async throws -> AdminAnswer {
        let session = try request.signedIn()
        return .ok([
            "user": UserView.view.json(session.user), "csrf_token": .string(session.csrfToken),
            "expires_at": .time(session.expiresAt),
        ])
    }

    private func changePassword(_ request: AdminRequest) async throws -> AdminAnswer {
        let session = try request.signedIn()
        let wanted = try passwordForm.draft(from: request.body, startingWith: PasswordChange())
        // A stolen session must not be a way round the throttle.
        try takeAttempt(session.user.fields.email, try await policy(), request)
        let id = session.user.id
        let stored = try await context.pool.query(
            "select password_hash from users where id = $1 and deleted_at is null",
            [.integer(id.raw)]
        ).first?.text("password_hash")
        guard try await context.passwords.isValid(wanted.current, stored ?? PasswordHash.nobody), stored != nil else {
            throw Problem.invalid([FieldFault("current_password", "is wrong")])
        }
        throttle.succeed(email: session.user.fields.email, address: request.clientIP, now: .now)
        let hash = try await context.passwords.make(wanted.new)
        try await context.changes.commit(by: try request.author()) { change in
            try await change.connection.execute(
                """
                update users set password_hash = $2, revision = nextval('revision_seq'), updated_at = now()
                where id = $1
                """,
                [.integer(id.raw), .text(hash)]
            )
            try await SessionStore.endAll(of: id, except: session.tokenHash, on: change.connection)
            change.audit("change_password", "user", id.raw)
        }
        return .noContent
    }
}
