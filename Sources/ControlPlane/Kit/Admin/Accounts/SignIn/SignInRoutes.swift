import Crypto
import Domain
import Formats
import HTTPFetching
import Postgres
import Providers
import Telemetry

/// `/admin/accounts/oauth`: how admins sign accounts in, and `/admin/accounts/{id}/refresh`.
package struct SignInRoutes {
    private let context: AdminContext
    private let accounts: AccountRoutes
    private let sealing: CredentialSealing
    private let answers: AccountAnswers

    package init(_ context: AdminContext) {
        self.context = context
        answers = AccountAnswers(context)
        accounts = AccountRoutes(context)
        sealing = CredentialSealing(context.masterKeys)
    }

    package var routes: [Route] {
        let path = "/api/v1/admin/accounts"
        return [
            Route(
                "GET",
                path + "/oauth/platforms",
                .admin,
                "List the platforms that accounts can be signed in to",
                answer: Self.platformsSchema,
                handler: platforms
            ),
            Route(
                "POST",
                path + "/oauth/start",
                .admin,
                "Begin a sign-in",
                body: SignInForm.start.schema(for: .create),
                answer: Self.startSchema,
                handler: start
            ),
            Route(
                "POST",
                path + "/oauth/finish",
                .admin,
                "End a sign-in with the code that it brought",
                body: SignInForm.finish.schema(for: .create),
                answer: answers.schema,
                handler: finish
            ),
            Route(
                "POST",
                path + "/{id}/refresh",
                .admin,
                "Renew an account's tokens",
                answer: answers.schema,
                handler: refresh
            ),
        ]
    }

    private static let platformsSchema: JSON = [
        "type": "object",
        "properties": [
            "items": Schema.array(
                of: [
                    "type": "object",
                    "properties": ["platform": Schema.text, "sign_in": Schema.flag, "refresh": Schema.flag],
                    "required": ["platform", "sign_in", "refresh"],
                ]
            )
        ],
        "required": ["items"],
    ]

    private static let startSchema: JSON = [
        "type": "object",
        "properties": ["url": Schema.text, "state": Schema.text, "expires_at": Schema.time],
        "required": ["url", "state", "expires_at"],
    ]

    private func platforms(_ request: AdminRequest) async throws -> AdminAnswer {
        .ok([
            "items": .array(
                ProviderRegistry.signInPlatforms.map { platform in
                    [
                        "platform": .string(platform.rawValue),
                        "sign_in": .bool(context.oauth[platform]?.page != nil),
                        "refresh": .bool(context.oauth[platform] != nil),
                    ]
                }
            )
        ])
    }

    // MARK: Beginning

    private func start(_ request: AdminRequest) async throws -> AdminAnswer {
        let session = try request.signedIn()
        let draft = try SignInForm.start.draft(from: request.body, startingWith: SignInForm.Start())
        let state = Base64.encode(SecureRandom.bytes(32), .url)
        let verifier = PKCE.verifier(SecureRandom.bytes(PKCE.randomBytes))
        let expiresAt = request.now + SignInStore.lifetime
        let (client, page) = try await context.pool.withTransaction { connection in
            let (client, page, proxy) = try await validated(draft, on: connection)
            let id = try await SignInStore.nextID(on: connection)
            let signIn = PendingSignIn(
                id: id,
                platform: draft.platform,
                account: draft.account.map { AccountID($0) },
                proxy: proxy.map { ProxyID($0) },
                sealedVerifier: SealedBox.seal(
                    Secret(verifier),
                    for: SignInStore.sealingContext(of: id),
                    with: context.masterKeys,
                    nonce: SecureRandom.bytes(SealedBox.nonceBytes)
                ),
                redirectURL: page.redirectURL
            )
            try await SignInStore.insert(
                signIn,
                state: state,
                session: session.tokenHash,
                expiresAt: expiresAt,
                on: connection
            )
            return (client, page)
        }
        guard let signIn = ProviderRegistry.signIn(for: draft.platform) else { throw Problem.notFound("sign-in") }
        let url = signIn.authorizeURL(client, page, state: state, challenge: PKCE.challenge(verifier))
        return .ok(["url": .string(url), "state": .string(state), "expires_at": .time(expiresAt)])
    }

    /// Every fault at once.
    private func validated(_ draft: SignInForm.Start, on connection: PostgresConnection) async throws -> (
        SignInClient, SignInClient.Page, proxy: Int64?
    ) {
        var faults: [FieldFault] = []
        let client = context.oauth[draft.platform]
        if client?.page == nil {
            let name = "TOLLGATE_OAUTH_\(draft.platform.rawValue.uppercased())_AUTHORIZE_URL"
            faults.append(FieldFault("platform", "has no sign-in configured: \(name) and its like are not set"))
        }
        var proxy = draft.proxy
        if let id = draft.account {
            if let account = try await AccountStore.find(AccountID(id), on: connection) {
                if account.fields.type != .oauth || account.fields.platform != draft.platform {
                    faults.append(FieldFault("account_id", "must be an account of type oauth of this platform"))
                }
                proxy = proxy ?? account.fields.proxy
            } else {
                faults.append(FieldFault("account_id", "is not an account"))
            }
        }
        if let id = draft.proxy, try await ProxyStore.find(ProxyID(id), on: connection) == nil {
            faults.append(FieldFault("proxy_id", "is not a proxy"))
        }
        guard faults.isEmpty, let client, let page = client.page else { throw Problem.invalid(faults) }
        return (client, page, proxy)
    }

    // MARK: Ending

    private func finish(_ request: AdminRequest) async throws -> AdminAnswer {
        let author = try request.author()
        let session = try request.signedIn().tokenHash
        let draft = try SignInForm.finish.draft(from: request.body, startingWith: SignInForm.Finish())
        let pasted = try SignInForm.pasted(draft).get()
        let (pending, proxy) = try await context.pool.withConnection { connection in
            let found = try await SignInStore.find(
                state: pasted.state,
                session: session,
                now: request.now,
                on: connection
            )
            guard let found else { throw Self.unknown }
            try await validate(draft, found, on: connection)
            return (found, try await proxyServer(found, on: connection))
        }
        // From here on the state is used up, whatever comes of it.
        guard try await context.pool.withConnection({ try await SignInStore.take(pending, on: $0) }) else {
            throw Self.unknown
        }
        guard case .code(let code, let state) = pasted else {
            guard case .refused(let text, _) = pasted else { throw Self.unknown }
            throw Problem(409, "sign_in_refused", "The sign-in page sent back an error: \(text).")
        }
        var tokens = try await exchange(code, state, pending, proxy)
        try await findProject(draft, pending, proxy, &tokens)
        let account = try await context.changes.commit(by: author) { change in
            if let id = pending.account { return try await signInAgain(id, tokens, request.now, change) }
            let body = SignInForm.accountBody(draft.account, pending, tokens)
            let account = try await accounts.insert(body, change)
            if let account { try await TokenStore.noteIssued(account.id, at: request.now, on: change.connection) }
            return account
        }
        guard let account else { throw Problem.notFound("account") }
        return .ok(await answers.json(account))
    }

    private static let unknown = Problem(
        409,
        "sign_in_unknown",
        "This sign-in is not known: it was ended before, is older than ten minutes, or was begun in another session. "
            + "Begin anew."
    )

    /// Finds every fault in the account that is to be made while the code is still unused.
    private func validate(_ draft: SignInForm.Finish, _ pending: PendingSignIn, on connection: PostgresConnection)
        async throws
    {
        guard pending.account == nil else {
            guard draft.account == nil else {
                throw Problem.invalid([
                    FieldFault("account", "must be left out: the sign-in is of an account that exists")
                ])
            }
            return
        }
        do {
            _ = try await accounts.validated(
                SignInForm.accountBody(draft.account, pending, nil),
                current: nil,
                on: connection
            )
        } catch let problem as Problem {
            throw Problem.invalid(problem.faults.map { FieldFault("account.\($0.field)", $0.message) })
        }
        let name = draft.account?["name"]?.string?.trimmed ?? ""
        let taken = try await connection.query(
            "select 1 as one from accounts where name = $1 and deleted_at is null",
            [.text(name)]
        )
        if !taken.isEmpty {
            throw Problem.conflict("The name is already in use.", [FieldFault("account.name", "is already in use")])
        }
    }

    private func proxyServer(_ pending: PendingSignIn, on connection: PostgresConnection) async throws -> ProxyServer? {
        guard let id = pending.proxy else { return nil }
        do {
            guard let proxy = try await ProxyStore.find(id, on: connection) else {
                throw UpstreamFailure.proxyUnusable
            }
            return try proxy.server(context.masterKeys)
        } catch let failure as UpstreamFailure {
            throw Problem.conflict(failure.description)
        }
    }

    private func exchange(_ code: String, _ state: String, _ pending: PendingSignIn, _ proxy: ProxyServer?)
        async throws -> TokenSet
    {
        guard let signIn = ProviderRegistry.signIn(for: pending.platform), let client = context.oauth[pending.platform],
            let verifier = try? SealedBox.openSecret(
                pending.sealedVerifier,
                for: SignInStore.sealingContext(of: pending.id),
                with: context.masterKeys
            )
        else { throw Self.unknown }
        let reply = await TokenEndpoint(context.upstream).ask(
            signIn.exchange(
                code,
                verifier: verifier.reveal(),
                state: state,
                redirectURL: pending.redirectURL,
                client
            ),
            signIn,
            through: proxy,
            isolation: pending.account?.raw,
            now: { Timestamp.now }
        )
        switch reply {
        case .answer(.tokens(let tokens)): return tokens
        case .answer(.gone(let text)), .answer(.refused(let text)):
            throw Problem(409, "sign_in_refused", "The provider refuses the code: \(text).")
        case .answer(.unavailable(let text, _)):
            throw Problem(502, "upstream_failed", "The provider's token endpoint failed: \(text). Begin anew.")
        case .failure(let failure):
            throw Problem(502, "upstream_failed", "\(failure.description) Begin anew.")
        }
    }

    /// Where the platform has projects, and nobody has named the account's. One that is not found now is looked for again
    /// when the tokens are renewed.
    private func findProject(
        _ draft: SignInForm.Finish,
        _ pending: PendingSignIn,
        _ proxy: ProxyServer?,
        _ tokens: inout TokenSet
    ) async throws {
        let account: ProviderAccount
        if let id = pending.account {
            let found = try await context.pool.withConnection { try await AccountStore.find(id, on: $0) }
            guard let found else { return }
            account = ProviderAccount(found)
        } else {
            let body = SignInForm.accountBody(draft.account, pending, tokens)
            var fields: [String: String] = [:]
            for (name, value) in body["credentials"]?.object ?? [] { fields[name] = value.string }
            var overrides: [String: String] = [:]
            for (name, value) in body["header_overrides"]?.object ?? [] { overrides[name] = value.string }
            account = ProviderAccount(
                platform: pending.platform,
                type: .oauth,
                fields: fields,
                headerOverrides: overrides
            )
        }
        let project = await ProjectFinder(context.upstream, log: context.log).find(
            account,
            token: tokens.accessToken,
            through: proxy,
            isolation: pending.account?.raw
        )
        if let project { tokens.fields["project_id"] = project }
    }

    /// New tokens for an account, which is as good as new by them.
    private func signInAgain(_ id: AccountID, _ tokens: TokenSet, _ now: Timestamp, _ change: Change) async throws
        -> AccountRecord?
    {
        guard let account = try await AccountStore.find(id, on: change.connection, forUpdate: true) else {
            throw Problem.notFound("account")
        }
        let credentials: StoredCredentials
        do {
            credentials = try sealing.apply(tokens.edit(of: account.credentials), to: account.credentials, of: id)
        } catch is SealingError {
            // What was sealed is lost, and the tokens are all that a login needs.
            credentials = try sealing.apply(tokens.edit(of: nil), to: nil, of: id)
        }
        let isWritten = try await TokenStore.replace(
            of: account,
            with: credentials,
            issuedAt: now,
            isSeenByWorkers: true,
            on: change.connection
        )
        guard isWritten else { throw Problem.conflict("The credentials have just been changed by somebody else.") }
        // What was said of the old login is over for workers too, its last 401 among it.
        let wasRefused = account.flags.contains { $0.cause == PauseCause.unauthorized.rawValue }
        if account.fields.status == .error || wasRefused { try await AccountFlagRoutes.recover(id, with: change) }
        change.publish(.account(id))
        change.publish(.config)
        change.audit("sign_in", "account", id.raw)
        return try await AccountStore.find(id, on: change.connection)
    }

    // MARK: Renewing

    private func refresh(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = AccountID(try request.id("account"))
        guard let runner = context.refresher else { throw Problem.unavailable }
        guard let account = try await context.pool.withConnection({ try await AccountStore.find(id, on: $0) }) else {
            throw Problem.notFound("account")
        }
        let outcome = await runner.renew(id, newerThan: account.refresh.secretsVersion, isPatient: true)
        switch outcome {
        case .fresh: break
        case .noAccount: throw Problem.notFound("account")
        case .noRefreshToken:
            throw Problem.conflict("The account has no refresh token: sign in, or give it one.")
        case .needsSignIn(let text), .refused(let text): throw Problem(409, "refresh_refused", text)
        case .cannotOpen:
            throw Problem.conflict("The stored secrets cannot be opened with the present master keys.")
        case .unavailable(let text, _): throw Problem(502, "upstream_failed", text)
        }
        let renewed = try await context.changes.commit(by: try request.author()) { change in
            change.audit("refresh", "account", id.raw)
            return try await AccountStore.find(id, on: change.connection)
        }
        guard let renewed else { throw Problem.notFound("account") }
        return .ok(await answers.json(renewed))
    }
}
