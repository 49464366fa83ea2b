import Crypto
import Domain
import Formats
import Postgres

/// `/keys`: a user's own API keys, in groups that are open to users.
package struct OwnKeyRoutes {
    private let context: AdminContext
    private let form = KeyForm.ownForm
    private let view = KeyView.view
    private let rules = KeyRoutes.listRules

    package init(_ context: AdminContext) { self.context = context }

    package var routes: [Route] {
        let path = "/api/v1/keys"
        return [
            Route(
                "GET",
                path,
                .session,
                "List one's own API keys",
                query: rules.parameters,
                answer: Schema.page(of: view.schema),
                handler: list
            ),
            Route(
                "POST",
                path,
                .session,
                "Create an API key of one's own; the answer alone has the key",
                body: form.schema(for: .create),
                status: 201,
                answer: KeyView.schemaWithKey,
                handler: create
            ),
            Route(
                "GET",
                path + "/groups",
                .session,
                "List the groups open to users",
                answer: ["type": "object", "properties": ["items": Schema.array(of: Self.groupView.schema)]],
                handler: openGroups
            ),
            Route("GET", path + "/{id}", .session, "Read an API key of one's own", answer: view.schema, handler: read),
            Route(
                "PATCH",
                path + "/{id}",
                .session,
                "Change an API key of one's own",
                body: form.schema(for: .patch),
                answer: view.schema,
                handler: update
            ),
            Route("DELETE", path + "/{id}", .session, "Delete an API key of one's own", status: 204, handler: delete),
        ]
    }

    /// What a user may know of a group.
    private static var groupView: View<GroupRecord> {
        View(
            GroupView.view.fields.filter {
                ["id", "name", "platform", "multiplier", "subscription", "model_allowlist"].contains($0.name)
            }
        )
    }

    private func list(_ request: AdminRequest) async throws -> AdminAnswer {
        var own = Conditions("k.deleted_at is null")
        own.add("k.user_id = \(own.bind(.integer(try request.signedIn().user.id.raw)))")
        let page = try PageRequest(request.head, rules, where: own)
        let (keys, total) = try await context.pool.withConnection {
            try await page.fetch(APIKeyStore.columns, from: APIKeyStore.source, on: $0) { try APIKeyStore.record($0) }
        }
        return page.answer(keys.map { view.json($0) }, total: total)
    }

    private func openGroups(_ request: AdminRequest) async throws -> AdminAnswer {
        let groups = try await context.pool.query(
            """
            select \(GroupStore.columns) from groups g
            where g.deleted_at is null and g.open and g.status = 'active' order by g.sort_order, g.id
            """
        ).map { try GroupStore.record($0) }
        return .ok(["items": .array(groups.map { Self.groupView.json($0) })])
    }

    /// The key of the path, if it is the caller's; another user's does not exist for them.
    private func own(
        _ request: AdminRequest,
        on connection: PostgresConnection,
        forUpdate: Bool = false
    ) async throws -> KeyRecord {
        let id = KeyID(try request.id("key"))
        guard let key = try await APIKeyStore.find(id, on: connection, forUpdate: forUpdate),
            key.fields.user == (try request.signedIn()).user.id.raw
        else { throw Problem.notFound("key") }
        return key
    }

    private func read(_ request: AdminRequest) async throws -> AdminAnswer {
        let key = try await context.pool.withConnection { try await own(request, on: $0) }
        return .ok(view.json(key))
    }

    private func requireOpen(_ group: Int64, on connection: PostgresConnection) async throws {
        guard let group = try await GroupStore.find(GroupID(group), on: connection), group.fields.isOpen,
            group.fields.status == .active
        else { throw Problem.invalid([FieldFault("group_id", "is not a group open to you")]) }
    }

    private func create(_ request: AdminRequest) async throws -> AdminAnswer {
        var draft = try form.draft(from: request.body, startingWith: KeyDraft()) {
            PolicyForm.anchorFaults($0, from: nil, now: request.now)
        }
        draft.user = try request.signedIn().user.id.raw
        let wanted = draft
        let secret = APIKeyFormat.generate { SecureRandom.bytes($0) }
        let key = try await context.changes.commit(by: try request.author()) { change in
            try await requireOpen(wanted.group, on: change.connection)
            return try await KeyRoutes.insert(wanted, secret, request.body, in: change)
        }
        return .created(KeyView.json(key, key: secret))
    }

    private func update(_ request: AdminRequest) async throws -> AdminAnswer {
        let key = try await context.changes.commit(by: try request.author()) { change in
            let current = try await own(request, on: change.connection, forUpdate: true)
            let draft = try form.patched(current.fields, with: request.body) {
                PolicyForm.anchorFaults($0, from: current.fields, now: request.now)
            }
            // A key that an admin bound elsewhere stays there; only a move needs an open group.
            if draft.group != current.fields.group { try await requireOpen(draft.group, on: change.connection) }
            try await KeyRoutes.update(current, to: draft, in: change)
            change.publish(.money(UserID(current.fields.user)))
            change.publish(.key(current.id))
            change.audit("update", "key", current.id.raw, request.body)
            return try await APIKeyStore.find(current.id, on: change.connection) ?? current
        }
        return .ok(view.json(key))
    }

    private func delete(_ request: AdminRequest) async throws -> AdminAnswer {
        try await context.changes.commit(by: try request.author()) { change in
            let current = try await own(request, on: change.connection, forUpdate: true)
            try await APIKeyStore.delete(current.id, on: change.connection)
            change.publish(.key(current.id))
            change.audit("delete", "key", current.id.raw)
        }
        return .noContent
    }
}
