import Domain
import Formats
import Postgres

/// `/admin/users`: people, their limits and their wallets.
package struct UserRoutes {
    private let context: AdminContext
    private let form = UserForm.form
    private let view = UserView.view
    private let rules = ListRules(
        sorts: [
            "id": "u.id", "email": "lower(u.email)", "role": "u.role", "status": "u.status", "balance": "u.balance",
            "created_at": "u.created_at", "updated_at": "u.updated_at",
        ],
        defaultSort: "u.id",
        search: ["u.email"],
        filters: [
            .choice("role", "u.role", UserRole.allCases.map(\.rawValue)),
            .choice("status", "u.status", UserStatus.allCases.map(\.rawValue)),
        ]
    )
    private let ledgerRules = ListRules(sorts: [:], defaultSort: "id desc", search: [])

    package init(_ context: AdminContext) { self.context = context }

    package var routes: [Route] {
        let path = "/api/v1/admin/users"
        return [
            Route(
                "GET",
                path,
                .admin,
                "List users",
                query: rules.parameters,
                answer: Schema.page(of: view.schema),
                handler: list
            ),
            Route(
                "POST",
                path,
                .admin,
                "Create a user",
                body: form.schema(for: .create),
                status: 201,
                answer: view.schema,
                handler: create
            ),
            Route("GET", path + "/{id}", .admin, "Read a user", answer: view.schema, handler: read),
            Route(
                "PATCH",
                path + "/{id}",
                .admin,
                "Change a user",
                body: form.schema(for: .patch),
                answer: view.schema,
                handler: update
            ),
            Route("DELETE", path + "/{id}", .admin, "Delete a user and the user's keys", status: 204, handler: delete),
            Route(
                "GET",
                path + "/{id}/balance",
                .admin,
                "List a user's ledger",
                query: ledgerRules.parameters,
                answer: Schema.page(of: UserView.ledger.schema),
                handler: ledger
            ),
            Route(
                "POST",
                path + "/{id}/balance",
                .admin,
                "Add to or take from a user's balance",
                body: UserForm.balanceForm.schema(for: .create),
                answer: UserView.ledger.schema,
                handler: changeBalance
            ),
        ]
    }

    private func list(_ request: AdminRequest) async throws -> AdminAnswer {
        let page = try PageRequest(request.head, rules, where: Conditions("u.deleted_at is null"))
        let (users, total) = try await context.pool.withConnection {
            try await page.fetch(UserStore.columns, from: "users u", on: $0) { try UserStore.record($0) }
        }
        return page.answer(users.map { view.json($0) }, total: total)
    }

    private func read(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = UserID(try request.id("user"))
        guard let user = try await context.pool.withConnection({ try await UserStore.find(id, on: $0) }) else {
            throw Problem.notFound("user")
        }
        return .ok(view.json(user))
    }

    private func create(_ request: AdminRequest) async throws -> AdminAnswer {
        let draft = try form.draft(from: request.body, startingWith: UserDraft())
        let hash = try await context.passwords.make(draft.password ?? "")
        let author = try request.author()
        let user = try await context.changes.commit(by: author) { change in
            let id = try await UserStore.insert(draft, passwordHash: hash, on: change.connection)
            if draft.balance != .zero {
                _ = try await UserStore.addToBalance(
                    id,
                    draft.balance,
                    note: "opening balance",
                    by: author.user,
                    on: change.connection
                )
            }
            change.publish(.money(id))
            change.publish(.user(id))
            change.audit("create", "user", id.raw, request.body)
            return try await UserStore.find(id, on: change.connection)
        }
        guard let user else { throw Problem.notFound("user") }
        return .created(view.json(user))
    }

    private func update(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = UserID(try request.id("user"))
        let author = try request.author()
        // Hashed before the transaction, which others wait for; a password with a fault is found below.
        var hash: String?
        if let password = request.body["password"]?.string, password.utf8.count <= UserForm.passwordLength.upperBound {
            hash = try await context.passwords.make(password)
        }
        let user = try await context.changes.commit(by: author) { change in
            guard let current = try await UserStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("user")
            }
            let draft = try form.patched(current.fields, with: request.body) {
                UserForm.patchFaults($0, from: current.fields)
            }
            if draft.role != .admin || draft.status != .active {
                try await requireAnotherAdmin(
                    than: current,
                    "The last active admin must stay one.",
                    on: change.connection
                )
            }
            try await UserStore.update(id, to: draft, passwordHash: hash, on: change.connection)
            if hash != nil || draft.status != .active {
                try await SessionStore.endAll(of: id, on: change.connection)
            }
            change.publish(.user(id))
            change.audit("update", "user", id.raw, request.body)
            return try await UserStore.find(id, on: change.connection)
        }
        guard let user else { throw Problem.notFound("user") }
        return .ok(view.json(user))
    }

    private func delete(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = UserID(try request.id("user"))
        try await context.changes.commit(by: try request.author()) { change in
            guard let current = try await UserStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("user")
            }
            try await requireAnotherAdmin(
                than: current,
                "The last active admin cannot be deleted.",
                on: change.connection
            )
            for key in try await UserStore.delete(id, on: change.connection) { change.publish(.key(key)) }
            change.publish(.user(id))
            change.audit("delete", "user", id.raw, ["email": .string(current.fields.email)])
        }
        return .noContent
    }

    /// Nobody could sign in to undo it.
    private func requireAnotherAdmin(
        than user: UserRecord,
        _ text: String,
        on connection: PostgresConnection
    ) async throws {
        guard user.fields.role == .admin, user.fields.status == .active else { return }
        if try await UserStore.otherActiveAdmins(than: user.id, on: connection) == 0 { throw Problem.conflict(text) }
    }

    // MARK: Wallet

    private func ledger(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = UserID(try request.id("user"))
        let page = try PageRequest(request.head, ledgerRules, where: Conditions())
        let (entries, total) = try await context.pool.withConnection { connection in
            guard try await UserStore.find(id, on: connection) != nil else { throw Problem.notFound("user") }
            return try await UserStore.ledger(of: id, limit: page.size, offset: page.offset, on: connection)
        }
        return page.answer(entries.map { UserView.ledger.json($0) }, total: total)
    }

    private func changeBalance(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = UserID(try request.id("user"))
        let wanted = try UserForm.balanceForm.draft(from: request.body, startingWith: UserForm.BalanceChange())
        let author = try request.author()
        let entry = try await context.changes.commit(by: author) { change in
            guard try await UserStore.find(id, on: change.connection, forUpdate: true) != nil else {
                throw Problem.notFound("user")
            }
            let entry = try await UserStore.addToBalance(
                id,
                wanted.amount,
                note: wanted.note,
                by: author.user,
                on: change.connection
            )
            guard let entry else {
                throw Problem.invalid([FieldFault("amount", "would take the balance beyond ±\(NanoUSD.maximum)")])
            }
            change.publish(.money(id))
            change.audit("change_balance", "user", id.raw, request.body)
            return entry
        }
        return .ok(UserView.ledger.json(entry))
    }
}
