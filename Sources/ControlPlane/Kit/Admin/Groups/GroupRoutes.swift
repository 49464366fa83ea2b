import Domain
import Formats
import Postgres

/// `/admin/groups`: pools of accounts that keys are bound to.
package struct GroupRoutes {
    private let context: AdminContext
    private let form = GroupForm.form
    private let view = GroupView.view
    private let rules = ListRules(
        sorts: [
            "sort_order": "g.sort_order", "id": "g.id", "name": "lower(g.name)", "platform": "g.platform",
            "status": "g.status", "created_at": "g.created_at", "updated_at": "g.updated_at",
        ],
        defaultSort: "g.sort_order, g.id",
        search: ["g.name"],
        filters: [
            .choice("platform", "g.platform", Platform.all.map(\.rawValue)),
            .choice("status", "g.status", GroupStatus.allCases.map(\.rawValue)),
            .flag("subscription", "g.subscription"),
            .flag("open", "g.open"),
        ]
    )

    package init(_ context: AdminContext) { self.context = context }

    package var routes: [Route] {
        let path = "/api/v1/admin/groups"
        return [
            Route(
                "GET",
                path,
                .admin,
                "List groups",
                query: rules.parameters,
                answer: Schema.page(of: view.schema),
                handler: list
            ),
            Route(
                "POST",
                path,
                .admin,
                "Create a group",
                body: form.schema(for: .create),
                status: 201,
                answer: view.schema,
                handler: create
            ),
            Route(
                "PUT",
                path + "/sort-order",
                .admin,
                "Put groups in order, all or none",
                body: GroupForm.orderForm.schema(for: .create),
                answer: ["type": "object", "properties": ["items": Schema.array(of: view.schema)]],
                handler: sort
            ),
            Route("GET", path + "/{id}", .admin, "Read a group", answer: view.schema, handler: read),
            Route(
                "PATCH",
                path + "/{id}",
                .admin,
                "Change a group",
                body: form.schema(for: .patch),
                answer: view.schema,
                handler: update
            ),
            Route("DELETE", path + "/{id}", .admin, "Delete a group that nothing uses", status: 204, handler: delete),
        ]
    }

    private func list(_ request: AdminRequest) async throws -> AdminAnswer {
        let page = try PageRequest(request.head, rules, where: Conditions("g.deleted_at is null"))
        let (groups, total) = try await context.pool.withConnection {
            try await page.fetch(GroupStore.columns, from: "groups g", on: $0) { try GroupStore.record($0) }
        }
        return page.answer(groups.map { view.json($0) }, total: total)
    }

    private func read(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = GroupID(try request.id("group"))
        guard let group = try await context.pool.withConnection({ try await GroupStore.find(id, on: $0) }) else {
            throw Problem.notFound("group")
        }
        return .ok(view.json(group))
    }

    private func create(_ request: AdminRequest) async throws -> AdminAnswer {
        let draft = try form.draft(from: request.body, startingWith: GroupDraft())
        let group = try await context.changes.commit(by: try request.author()) { change in
            try await checkFallback(draft, id: nil, on: change.connection)
            let id = try await GroupStore.insert(draft, on: change.connection)
            change.publish(.config)
            change.audit("create", "group", id.raw, request.body)
            return try await GroupStore.find(id, on: change.connection)
        }
        guard let group else { throw Problem.notFound("group") }
        return .created(view.json(group))
    }

    private func update(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = GroupID(try request.id("group"))
        let group = try await context.changes.commit(by: try request.author()) { change in
            guard let current = try await GroupStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("group")
            }
            let draft = try form.patched(current.fields, with: request.body) {
                GroupForm.patchFaults($0, from: current.fields)
            }
            try await checkFallback(draft, id: id, on: change.connection)
            if draft.isClaudeCodeOnly, !current.fields.isClaudeCodeOnly {
                guard try await GroupStore.uses(of: id, on: change.connection).fallbacks == 0 else {
                    throw Problem.conflict(
                        "Other groups fall back to this one, so it cannot be for Claude Code only.",
                        [FieldFault("claude_code_only", "is refused while other groups fall back to this one")]
                    )
                }
            }
            try await GroupStore.update(id, to: draft, on: change.connection)
            change.publish(.config)
            change.audit("update", "group", id.raw, request.body)
            return try await GroupStore.find(id, on: change.connection)
        }
        guard let group else { throw Problem.notFound("group") }
        return .ok(view.json(group))
    }

    private func checkFallback(_ draft: GroupDraft, id: GroupID?, on connection: PostgresConnection) async throws {
        guard let wanted = draft.fallbackGroup else { return }
        // Kept as it is until this is decided: it could become one for Claude Code only meanwhile.
        let fallback = try await GroupStore.find(GroupID(wanted), on: connection, forUpdate: true)
        let faults = GroupForm.fallbackFaults(draft, id: id, fallback: fallback)
        if !faults.isEmpty { throw Problem.invalid(faults) }
    }

    private func sort(_ request: AdminRequest) async throws -> AdminAnswer {
        let order = try GroupForm.orderForm.draft(from: request.body, startingWith: GroupForm.Order())
        let groups = try await context.changes.commit(by: try request.author()) { change in
            var faults: [FieldFault] = []
            for (index, place) in order.places.enumerated() {
                let isThere = try await GroupStore.setSortOrder(
                    GroupID(place.id),
                    place.sortOrder,
                    on: change.connection
                )
                if !isThere { faults.append(FieldFault("items[\(index)].id", "is not a group")) }
            }
            if !faults.isEmpty { throw Problem.invalid(faults) }
            change.publish(.config)
            change.audit("sort", "group", nil, request.body)
            return try await change.connection.query(
                "select \(GroupStore.columns) from groups g where g.deleted_at is null order by \(rules.defaultSort)"
            ).map { try GroupStore.record($0) }
        }
        return .ok(["items": .array(groups.map { view.json($0) })])
    }

    private func delete(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = GroupID(try request.id("group"))
        try await context.changes.commit(by: try request.author()) { change in
            guard let current = try await GroupStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("group")
            }
            let uses = try await GroupStore.uses(of: id, on: change.connection)
            var users: [String] = []
            if uses.keys > 0 { users.append("\(uses.keys) API key\(uses.keys == 1 ? "" : "s")") }
            if uses.accounts > 0 { users.append("\(uses.accounts) account\(uses.accounts == 1 ? "" : "s")") }
            if uses.fallbacks > 0 {
                users.append("\(uses.fallbacks) group\(uses.fallbacks == 1 ? "" : "s") that fall back to it")
            }
            guard users.isEmpty else {
                throw Problem.conflict("The group is still used by \(users.joined(separator: ", ")).")
            }
            try await GroupStore.delete(id, on: change.connection)
            change.publish(.config)
            change.audit("delete", "group", id.raw, ["name": .string(current.fields.name)])
        }
        return .noContent
    }
}
