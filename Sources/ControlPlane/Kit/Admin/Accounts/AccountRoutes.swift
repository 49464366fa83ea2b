import Crypto
import Domain
import Formats
import Postgres

/// `/admin/accounts`: upstream credentials and how they are used.
package struct AccountRoutes {
    private let context: AdminContext
    private let sealing: CredentialSealing
    private let form = AccountForm.form
    private let answers: AccountAnswers
    private let rules = ListRules(
        sorts: [
            "id": "a.id", "name": "lower(a.name)", "platform": "a.platform", "type": "a.type", "status": "a.status",
            "priority": "a.priority", "last_used_at": "a.last_used_at", "created_at": "a.created_at",
            "updated_at": "a.updated_at",
        ],
        defaultSort: "a.id",
        search: ["a.name"],
        filters: [
            .choice("platform", "a.platform", Platform.all.map(\.rawValue)),
            .choice("type", "a.type", AccountType.allCases.map(\.rawValue)),
            .choice("status", "a.status", AccountStatus.allCases.map(\.rawValue)),
            .flag("schedulable", "a.schedulable"),
            .id("proxy_id", "a.proxy_id"),
            .init(name: "group_id", schema: Schema.id, summary: "Only members of this group.") { text, conditions in
                guard let id = Int64(text) else { return "must be a whole number" }
                conditions.add(
                    "a.id in (select account_id from account_groups where group_id = \(conditions.bind(.integer(id))))"
                )
                return nil
            },
        ]
    )

    package init(_ context: AdminContext) {
        self.context = context
        answers = AccountAnswers(context)
        sealing = CredentialSealing(context.masterKeys)
    }

    package var routes: [Route] {
        let path = "/api/v1/admin/accounts"
        return [
            Route(
                "GET",
                path,
                .admin,
                "List accounts",
                query: rules.parameters,
                answer: Schema.page(of: answers.schema),
                handler: list
            ),
            Route(
                "POST",
                path,
                .admin,
                "Create an account",
                body: form.schema(for: .create),
                status: 201,
                answer: answers.schema,
                handler: create
            ),
            Route("GET", path + "/{id}", .admin, "Read an account", answer: answers.schema, handler: read),
            Route(
                "PATCH",
                path + "/{id}",
                .admin,
                "Change an account",
                body: form.schema(for: .patch),
                answer: answers.schema,
                handler: update
            ),
            Route("DELETE", path + "/{id}", .admin, "Delete an account", status: 204, handler: delete),
        ] + AccountFlagRoutes(context).routes
    }

    private func list(_ request: AdminRequest) async throws -> AdminAnswer {
        let page = try PageRequest(request.head, rules, where: Conditions("a.deleted_at is null"))
        let (accounts, total) = try await context.pool.withConnection {
            try await page.fetch(AccountStore.columns, from: "accounts a", on: $0) { try AccountStore.record($0) }
        }
        return page.answer(await answers.json(accounts), total: total)
    }

    private func read(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = AccountID(try request.id("account"))
        guard let account = try await context.pool.withConnection({ try await AccountStore.find(id, on: $0) }) else {
            throw Problem.notFound("account")
        }
        return .ok(await answers.json(account))
    }

    private func create(_ request: AdminRequest) async throws -> AdminAnswer {
        let account = try await context.changes.commit(by: try request.author()) { change in
            try await insert(request.body, change)
        }
        guard let account else { throw Problem.notFound("account") }
        return .created(await answers.json(account))
    }

    /// Makes the account that a body describes, or throws every fault in it.
    func insert(_ body: JSON, _ change: Change) async throws -> AccountRecord? {
        let (draft, edit) = try await validated(body, current: nil, on: change.connection)
        let id = try await AccountStore.nextID(on: change.connection)
        let credentials = try sealing.apply(edit, to: nil, of: id)
        try await AccountStore.insert(id, draft, credentials, on: change.connection)
        change.publish(.account(id))
        if draft.quota.isLimited { change.publish(.quota(id)) }
        change.publish(.config)
        change.audit("create", "account", id.raw, body)
        return try await AccountStore.find(id, on: change.connection)
    }

    private func update(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = AccountID(try request.id("account"))
        let account = try await context.changes.commit(by: try request.author()) { change in
            guard let current = try await AccountStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("account")
            }
            let (draft, edit) = try await validated(request.body, current: current, on: change.connection)
            try await AccountStore.update(id, to: draft, on: change.connection)
            if current.fields.status == .error, draft.status != .error {
                try await AccountFlagRoutes.recover(id, with: change)
            }
            // Only the fields given are written, and tokens that a refresh has just rotated are not put back.
            if edit.changes(current.credentials) {
                let isWritten = try await AccountStore.replaceCredentials(
                    of: id,
                    with: try reseal(edit, current),
                    ifVersion: current.credentials.version,
                    hasNewSecrets: edit.changesSecrets(of: current.credentials),
                    on: change.connection
                )
                guard isWritten else {
                    throw Problem.conflict("The credentials have just been changed by somebody else.")
                }
                change.publish(.account(id))
            }
            if draft.quota != current.fields.quota { change.publish(.quota(id)) }
            change.publish(.config)
            change.audit("update", "account", id.raw, request.body)
            return try await AccountStore.find(id, on: change.connection)
        }
        guard let account else { throw Problem.notFound("account") }
        return .ok(await answers.json(account))
    }

    private func reseal(_ edit: CredentialEdit, _ current: AccountRecord) throws -> StoredCredentials {
        do {
            return try sealing.apply(edit, to: current.credentials, of: current.id)
        } catch is SealingError {
            throw Problem.conflict(
                "The stored secrets cannot be opened with the present master keys; send all of them anew.",
                [FieldFault("credentials", "must be sent whole")]
            )
        }
    }

    /// Every fault of form, credentials, groups and proxy at once.
    func validated(
        _ body: JSON,
        current: AccountRecord?,
        on connection: PostgresConnection
    ) async throws -> (AccountDraft, CredentialEdit) {
        var reading = AccountForm.read(body, current: current)
        if !reading.isFaulty("platform"), !reading.draft.groups.isEmpty {
            let groups = try await GroupStore.find(reading.draft.groups, on: connection)
            reading.add(AccountForm.groupFaults(reading.draft, found: groups))
        }
        if let proxy = reading.draft.proxy, try await ProxyStore.find(ProxyID(proxy), on: connection) == nil {
            reading.add([FieldFault("proxy_id", "is not a proxy")])
        }
        if !reading.faults.isEmpty { throw Problem.invalid(reading.faults) }
        return (reading.draft, reading.credentials)
    }

    private func delete(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = AccountID(try request.id("account"))
        try await context.changes.commit(by: try request.author()) { change in
            guard let current = try await AccountStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("account")
            }
            try await AccountStore.delete(id, on: change.connection)
            change.publish(.config)
            change.publish(.account(id))
            change.publish(.marks(id, isRecovery: true))
            change.publish(.quota(id))
            change.audit("delete", "account", id.raw, ["name": .string(current.fields.name)])
        }
        return .noContent
    }
}
