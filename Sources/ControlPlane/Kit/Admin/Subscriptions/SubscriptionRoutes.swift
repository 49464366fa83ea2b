import Domain
import Formats
import Postgres

/// `/admin/subscriptions`: who may call through groups that take subscriptions; `/subscriptions` for one's own.
package struct SubscriptionRoutes {
    private let context: AdminContext
    private let form = SubscriptionForm.form
    private let view = SubscriptionForm.view
    private let rules = ListRules(
        sorts: [
            "id": "s.id", "user_id": "s.user_id", "group_id": "s.group_id", "status": "s.status",
            "starts_at": "s.starts_at", "expires_at": "s.expires_at", "created_at": "s.created_at",
        ],
        defaultSort: "s.id",
        search: [],
        filters: [
            .id("user_id", "s.user_id"), .id("group_id", "s.group_id"),
            .choice("status", "s.status", SubscriptionStatus.allCases.map(\.rawValue)),
        ]
    )

    package init(_ context: AdminContext) { self.context = context }

    package var routes: [Route] {
        let path = "/api/v1/admin/subscriptions"
        return [
            Route(
                "GET",
                path,
                .admin,
                "List subscriptions",
                query: rules.parameters,
                answer: Schema.page(of: view.schema)
            ) { try await list($0, where: Conditions("s.deleted_at is null")) },
            Route(
                "POST",
                path,
                .admin,
                "Give a user a subscription to a group",
                body: form.schema(for: .create),
                status: 201,
                answer: view.schema,
                handler: create
            ),
            Route("GET", path + "/{id}", .admin, "Read a subscription", answer: view.schema, handler: read),
            Route(
                "PATCH",
                path + "/{id}",
                .admin,
                "Change a subscription; another beginning starts its windows anew",
                body: form.schema(for: .patch),
                answer: view.schema,
                handler: update
            ),
            Route("DELETE", path + "/{id}", .admin, "End a subscription", status: 204, handler: delete),
            Route(
                "GET",
                "/api/v1/subscriptions",
                .session,
                "List one's own subscriptions",
                query: rules.parameters,
                answer: Schema.page(of: view.schema)
            ) { request in
                var own = Conditions("s.deleted_at is null")
                own.add("s.user_id = \(own.bind(.integer(try request.signedIn().user.id.raw)))")
                return try await list(request, where: own)
            },
        ]
    }

    private func list(_ request: AdminRequest, where base: Conditions) async throws -> AdminAnswer {
        let page = try PageRequest(request.head, rules, where: base)
        let (found, total) = try await context.pool.withConnection {
            try await page.fetch(SubscriptionStore.columns, from: "subscriptions s", on: $0) {
                try SubscriptionStore.record($0)
            }
        }
        return page.answer(found.map { view.json($0) }, total: total)
    }

    private func read(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = SubscriptionID(try request.id("subscription"))
        let found = try await context.pool.withConnection { try await SubscriptionStore.find(id, on: $0) }
        guard let found else { throw Problem.notFound("subscription") }
        return .ok(view.json(found))
    }

    private func create(_ request: AdminRequest) async throws -> AdminAnswer {
        let draft = try form.draft(from: request.body, startingWith: SubscriptionDraft()) {
            SubscriptionForm.faults($0, from: nil, now: request.now)
        }
        let made = try await context.changes.commit(by: try request.author()) { change in
            try await checkReferences(draft, on: change.connection)
            let id = try await SubscriptionStore.insert(draft, now: change.now, on: change.connection)
            try await publish(UserID(draft.user), in: change)
            change.audit("create", "subscription", id.raw, request.body)
            return try await SubscriptionStore.find(id, on: change.connection)
        }
        guard let made else { throw Problem.notFound("subscription") }
        return .created(view.json(made))
    }

    private func checkReferences(_ draft: SubscriptionDraft, on connection: PostgresConnection) async throws {
        var faults: [FieldFault] = []
        if try await UserStore.find(UserID(draft.user), on: connection) == nil {
            faults.append(FieldFault("user_id", "is not a user"))
        }
        let group = try await GroupStore.find(GroupID(draft.group), on: connection)
        if group == nil {
            faults.append(FieldFault("group_id", "is not a group"))
        } else if group?.fields.isSubscription == false {
            faults.append(FieldFault("group_id", "is not a group that takes subscriptions"))
        }
        if !faults.isEmpty { throw Problem.invalid(faults) }
    }

    /// The user's keys carry the subscription.
    private func publish(_ user: UserID, in change: Change) async throws {
        try await change.connection.execute(
            "update users set revision = nextval('revision_seq') where id = $1",
            [.integer(user.raw)]
        )
        change.publish(.money(user))
        change.publish(.user(user))
    }

    private func change(
        _ request: AdminRequest,
        _ action: String,
        _ body: (SubscriptionRecord, Change) async throws -> Void
    ) async throws -> SubscriptionRecord {
        let id = SubscriptionID(try request.id("subscription"))
        return try await context.changes.commit(by: try request.author()) { change in
            guard let current = try await SubscriptionStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("subscription")
            }
            try await body(current, change)
            try await publish(UserID(current.fields.user), in: change)
            change.audit(action, "subscription", id.raw, request.body.isNull ? [:] : request.body)
            return try await SubscriptionStore.find(id, on: change.connection) ?? current
        }
    }

    private func update(_ request: AdminRequest) async throws -> AdminAnswer {
        let changed = try await change(request, "update") { current, change in
            let draft = try form.patched(current.fields, with: request.body) {
                SubscriptionForm.faults($0, from: current.fields, now: request.now)
            }
            try await SubscriptionStore.update(current, to: draft, now: change.now, on: change.connection)
        }
        return .ok(view.json(changed))
    }

    private func delete(_ request: AdminRequest) async throws -> AdminAnswer {
        _ = try await change(request, "delete") { current, change in
            try await SubscriptionStore.delete(current.id, on: change.connection)
        }
        return .noContent
    }
}
