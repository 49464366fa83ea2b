import Domain
import Formats
import Postgres

/// `/admin/prices`: what models cost.
package struct PriceRoutes {
    private let context: AdminContext
    private let form = PriceForm.form
    private let view = PriceView.view
    private let rules = ListRules(
        sorts: [
            "model": "p.model", "id": "p.id", "match": "p.match", "input": "(p.rates->>'input')::bigint",
            "output": "(p.rates->>'output')::bigint", "created_at": "p.created_at", "updated_at": "p.updated_at",
        ],
        defaultSort: "p.model, p.id",
        search: ["p.model"],
        filters: [.text("model", "p.model"), .choice("match", "p.match", ["exact", "prefix"])]
    )

    package init(_ context: AdminContext) { self.context = context }

    package var routes: [Route] {
        let path = "/api/v1/admin/prices"
        return [
            Route(
                "GET",
                path,
                .admin,
                "List prices",
                query: rules.parameters,
                answer: Schema.page(of: view.schema),
                handler: list
            ),
            Route(
                "POST",
                path,
                .admin,
                "Create a price",
                body: form.schema(for: .create),
                status: 201,
                answer: view.schema,
                handler: create
            ),
            Route("GET", path + "/{id}", .admin, "Read a price", answer: view.schema, handler: read),
            Route(
                "PATCH",
                path + "/{id}",
                .admin,
                "Change a price; calls under way keep the old one",
                body: form.schema(for: .patch),
                answer: view.schema,
                handler: update
            ),
            Route("DELETE", path + "/{id}", .admin, "Delete a price", status: 204, handler: delete),
        ]
    }

    private func list(_ request: AdminRequest) async throws -> AdminAnswer {
        let page = try PageRequest(request.head, rules, where: Conditions("p.deleted_at is null"))
        let (prices, total) = try await context.pool.withConnection {
            try await page.fetch(PriceStore.columns, from: "prices p", on: $0) { try PriceStore.record($0) }
        }
        return page.answer(prices.map { view.json($0) }, total: total)
    }

    private func read(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = try request.id("price")
        guard let price = try await context.pool.withConnection({ try await PriceStore.find(id, on: $0) }) else {
            throw Problem.notFound("price")
        }
        return .ok(view.json(price))
    }

    private func create(_ request: AdminRequest) async throws -> AdminAnswer {
        let draft = try form.draft(from: request.body, startingWith: PriceDraft(), check: PriceForm.faults)
        let price = try await context.changes.commit(by: try request.author()) { change in
            let id = try await PriceStore.insert(draft, on: change.connection)
            change.publish(.config)
            change.audit("create", "price", id, request.body)
            return try await PriceStore.find(id, on: change.connection)
        }
        guard let price else { throw Problem.notFound("price") }
        return .created(view.json(price))
    }

    private func update(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = try request.id("price")
        let price = try await context.changes.commit(by: try request.author()) { change in
            guard let current = try await PriceStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("price")
            }
            let draft = try form.patched(current.fields, with: request.body, check: PriceForm.faults)
            try await PriceStore.update(id, to: draft, on: change.connection)
            change.publish(.config)
            change.audit("update", "price", id, request.body)
            return try await PriceStore.find(id, on: change.connection)
        }
        guard let price else { throw Problem.notFound("price") }
        return .ok(view.json(price))
    }

    private func delete(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = try request.id("price")
        try await context.changes.commit(by: try request.author()) { change in
            guard let current = try await PriceStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("price")
            }
            try await PriceStore.delete(id, on: change.connection)
            change.publish(.config)
            change.audit("delete", "price", id, ["model": .string(current.fields.model)])
        }
        return .noContent
    }
}
