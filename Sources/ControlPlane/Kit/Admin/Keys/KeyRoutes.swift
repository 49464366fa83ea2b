import Crypto
import Domain
import Formats
import Postgres

/// `/admin/keys`: the API keys of all users.
package struct KeyRoutes {
    private let context: AdminContext
    private let form = KeyForm.form
    private let view = KeyView.view
    private let rules = KeyRoutes.listRules

    /// The same for admins and for users with their own keys.
    static var listRules: ListRules {
        ListRules(
            sorts: [
                "id": "k.id", "name": "lower(k.name)", "user_id": "k.user_id", "group_id": "k.group_id",
                "status": "k.status", "quota_used": "k.quota_used", "expires_at": "k.expires_at",
                "last_used_at": "k.last_used_at", "created_at": "k.created_at", "updated_at": "k.updated_at",
            ],
            defaultSort: "k.id",
            search: ["k.name", "k.key_prefix"],
            filters: [
                .id("user_id", "k.user_id"), .id("group_id", "k.group_id"),
                .choice("status", "k.status", KeyStatus.allCases.map(\.rawValue)),
                .choice("display_status", APIKeyStore.displayStatus, KeyDisplayStatus.allCases.map(\.rawValue)),
            ]
        )
    }

    package init(_ context: AdminContext) { self.context = context }

    package var routes: [Route] {
        let path = "/api/v1/admin/keys"
        return [
            Route(
                "GET",
                path,
                .admin,
                "List API keys",
                query: rules.parameters,
                answer: Schema.page(of: view.schema),
                handler: list
            ),
            Route(
                "POST",
                path,
                .admin,
                "Create an API key; the answer alone has the key",
                body: form.schema(for: .create),
                status: 201,
                answer: KeyView.schemaWithKey,
                handler: create
            ),
            Route("GET", path + "/{id}", .admin, "Read an API key", answer: view.schema, handler: read),
            Route(
                "PATCH",
                path + "/{id}",
                .admin,
                "Change an API key",
                body: form.schema(for: .patch),
                answer: view.schema,
                handler: update
            ),
            Route("DELETE", path + "/{id}", .admin, "Delete an API key", status: 204, handler: delete),
            Route(
                "POST",
                path + "/{id}/rotate",
                .admin,
                "Give an API key a new secret; id, limits and history stay",
                answer: KeyView.schemaWithKey,
                handler: rotate
            ),
            Route(
                "POST",
                path + "/{id}/reset-quota",
                .admin,
                "Set an API key's used quota to 0",
                answer: view.schema,
                handler: resetQuota
            ),
            Route(
                "POST",
                path + "/{id}/reset-policy",
                .admin,
                "Begin the running window of an API key's periodic limit anew",
                answer: view.schema,
                handler: resetPolicy
            ),
            Route(
                "POST",
                path + "/{id}/clear-expiration",
                .admin,
                "Let an API key never expire",
                answer: view.schema,
                handler: clearExpiration
            ),
        ]
    }

    private func list(_ request: AdminRequest) async throws -> AdminAnswer {
        let page = try PageRequest(request.head, rules, where: Conditions("k.deleted_at is null"))
        let (keys, total) = try await context.pool.withConnection {
            try await page.fetch(APIKeyStore.columns, from: APIKeyStore.source, on: $0) { try APIKeyStore.record($0) }
        }
        return page.answer(keys.map { view.json($0) }, total: total)
    }

    private func read(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = KeyID(try request.id("key"))
        guard let key = try await context.pool.withConnection({ try await APIKeyStore.find(id, on: $0) }) else {
            throw Problem.notFound("key")
        }
        return .ok(view.json(key))
    }

    private func create(_ request: AdminRequest) async throws -> AdminAnswer {
        let draft = try form.draft(from: request.body, startingWith: KeyDraft()) {
            PolicyForm.anchorFaults($0, from: nil, now: request.now)
        }
        let secret = APIKeyFormat.generate { SecureRandom.bytes($0) }
        let key = try await context.changes.commit(by: try request.author()) { change in
            try await checkReferences(draft, on: change.connection)
            return try await Self.insert(draft, secret, request.body, in: change)
        }
        return .created(KeyView.json(key, key: secret))
    }

    static func insert(_ draft: KeyDraft, _ secret: String, _ body: JSON, in change: Change) async throws -> KeyRecord {
        let id = try await APIKeyStore.insert(
            draft,
            hash: APIKeyFormat.hash(secret),
            prefix: APIKeyFormat.displayPrefix(secret),
            on: change.connection
        )
        try await KeyPolicyStore.save(draft.policy, of: id, replacing: nil, now: change.now, on: change.connection)
        change.publish(.money(UserID(draft.user)))
        change.publish(.key(id))
        change.audit("create", "key", id.raw, body)
        guard let key = try await APIKeyStore.find(id, on: change.connection) else { throw Problem.notFound("key") }
        return key
    }

    private func checkReferences(_ draft: KeyDraft, on connection: PostgresConnection) async throws {
        var faults: [FieldFault] = []
        if try await UserStore.find(UserID(draft.user), on: connection) == nil {
            faults.append(FieldFault("user_id", "is not a user"))
        }
        if try await GroupStore.find(GroupID(draft.group), on: connection) == nil {
            faults.append(FieldFault("group_id", "is not a group"))
        }
        if !faults.isEmpty { throw Problem.invalid(faults) }
    }

    /// Changes one key under its row's lock and answers it.
    private func change(
        _ request: AdminRequest,
        _ action: String,
        _ body: (KeyRecord, Change) async throws -> Void
    ) async throws -> KeyRecord {
        let id = KeyID(try request.id("key"))
        return try await context.changes.commit(by: try request.author()) { change in
            guard let current = try await APIKeyStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("key")
            }
            try await body(current, change)
            change.publish(.money(UserID(current.fields.user)))
            change.publish(.key(id))
            change.audit(action, "key", id.raw, request.body.isNull ? [:] : request.body)
            return try await APIKeyStore.find(id, on: change.connection) ?? current
        }
    }

    private func update(_ request: AdminRequest) async throws -> AdminAnswer {
        let key = try await change(request, "update") { current, change in
            let draft = try form.patched(current.fields, with: request.body) {
                KeyForm.patchFaults($0, from: current.fields)
                    + PolicyForm.anchorFaults($0, from: current.fields, now: request.now)
            }
            if draft.group != current.fields.group { try await checkReferences(draft, on: change.connection) }
            try await Self.update(current, to: draft, in: change)
        }
        return .ok(view.json(key))
    }

    /// A key and its policy, both or neither.
    static func update(_ current: KeyRecord, to draft: KeyDraft, in change: Change) async throws {
        try await APIKeyStore.update(current.id, to: draft, on: change.connection)
        try await KeyPolicyStore.save(
            draft.policy,
            of: current.id,
            replacing: current.policy,
            now: change.now,
            on: change.connection
        )
    }

    private func resetPolicy(_ request: AdminRequest) async throws -> AdminAnswer {
        let key = try await change(request, "reset_policy") { current, change in
            guard let policy = current.policy else { throw Problem.conflict("The key has no policy.") }
            try await KeyPolicyStore.reset(
                policy,
                of: UserID(current.fields.user),
                by: change.author.user,
                now: change.now,
                on: change.connection
            )
            // Workers must not count on in the window that was reset.
            try await APIKeyStore.update(current.id, to: current.fields, on: change.connection)
        }
        return .ok(view.json(key))
    }

    private func rotate(_ request: AdminRequest) async throws -> AdminAnswer {
        let secret = APIKeyFormat.generate { SecureRandom.bytes($0) }
        let key = try await change(request, "rotate") { current, change in
            try await APIKeyStore.rotate(
                current.id,
                hash: APIKeyFormat.hash(secret),
                prefix: APIKeyFormat.displayPrefix(secret),
                on: change.connection
            )
        }
        return .ok(KeyView.json(key, key: secret))
    }

    private func resetQuota(_ request: AdminRequest) async throws -> AdminAnswer {
        let key = try await change(request, "reset_quota") { current, change in
            try await APIKeyStore.resetQuota(current.id, on: change.connection)
        }
        return .ok(view.json(key))
    }

    private func clearExpiration(_ request: AdminRequest) async throws -> AdminAnswer {
        let key = try await change(request, "clear_expiration") { current, change in
            var draft = current.fields
            draft.expiresAt = nil
            try await APIKeyStore.update(current.id, to: draft, on: change.connection)
        }
        return .ok(view.json(key))
    }

    private func delete(_ request: AdminRequest) async throws -> AdminAnswer {
        _ = try await change(request, "delete") { current, change in
            try await APIKeyStore.delete(current.id, on: change.connection)
        }
        return .noContent
    }
}
