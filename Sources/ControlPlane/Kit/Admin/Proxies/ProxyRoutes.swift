import Crypto
import Domain
import Formats
import Postgres
import Snapshots

/// `/admin/proxies`: ways out for accounts.
package struct ProxyRoutes {
    private let context: AdminContext
    private let form = ProxyForm.form
    private let view = ProxyView.view
    private let rules = ListRules(
        sorts: [
            "id": "p.id", "name": "lower(p.name)", "protocol": "p.protocol", "host": "p.host",
            "created_at": "p.created_at", "updated_at": "p.updated_at",
        ],
        defaultSort: "p.id",
        search: ["p.name", "p.host"],
        filters: [.choice("protocol", "p.protocol", ProxyProtocol.allCases.map(\.rawValue))]
    )

    package init(_ context: AdminContext) { self.context = context }

    package var routes: [Route] {
        let path = "/api/v1/admin/proxies"
        return [
            Route(
                "GET",
                path,
                .admin,
                "List proxies",
                query: rules.parameters,
                answer: Schema.page(of: view.schema),
                handler: list
            ),
            Route(
                "POST",
                path,
                .admin,
                "Create a proxy",
                body: form.schema(for: .create),
                status: 201,
                answer: view.schema,
                handler: create
            ),
            Route("GET", path + "/{id}", .admin, "Read a proxy", answer: view.schema, handler: read),
            Route(
                "PATCH",
                path + "/{id}",
                .admin,
                "Change a proxy",
                body: form.schema(for: .patch),
                answer: view.schema,
                handler: update
            ),
            Route(
                "DELETE",
                path + "/{id}",
                .admin,
                "Delete a proxy that no account uses",
                status: 204,
                handler: delete
            ),
            Route(
                "POST",
                path + "/{id}/test",
                .admin,
                "Ask for something through a proxy",
                body: ProxyTest.form.schema(for: .create),
                isBodyOptional: true,
                answer: ProxyTest.answer,
                handler: test
            ),
        ]
    }

    private func list(_ request: AdminRequest) async throws -> AdminAnswer {
        let page = try PageRequest(request.head, rules, where: Conditions("p.deleted_at is null"))
        let (proxies, total) = try await context.pool.withConnection {
            try await page.fetch(ProxyStore.columns, from: "proxies p", on: $0) { try ProxyStore.record($0) }
        }
        return page.answer(proxies.map { view.json($0) }, total: total)
    }

    private func read(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = ProxyID(try request.id("proxy"))
        guard let proxy = try await context.pool.withConnection({ try await ProxyStore.find(id, on: $0) }) else {
            throw Problem.notFound("proxy")
        }
        return .ok(view.json(proxy))
    }

    private func create(_ request: AdminRequest) async throws -> AdminAnswer {
        let draft = try form.draft(from: request.body, startingWith: ProxyDraft()) {
            ProxyForm.faults($0, hasPassword: false)
        }
        let proxy = try await context.changes.commit(by: try request.author()) { change in
            let id = try await ProxyStore.nextID(on: change.connection)
            try await ProxyStore.insert(
                id,
                draft,
                sealedPassword: draft.password.map { seal($0, of: id) },
                on: change.connection
            )
            change.publish(.config)
            change.audit("create", "proxy", id.raw, request.body)
            return try await ProxyStore.find(id, on: change.connection)
        }
        guard let proxy else { throw Problem.notFound("proxy") }
        return .created(view.json(proxy))
    }

    private func update(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = ProxyID(try request.id("proxy"))
        let proxy = try await context.changes.commit(by: try request.author()) { change in
            guard let current = try await ProxyStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("proxy")
            }
            var start = current.fields
            start.password = current.sealedPassword == nil ? nil : Secret.mask
            let draft = try form.patched(start, with: request.body) {
                ProxyForm.faults($0, hasPassword: current.sealedPassword != nil)
            }
            let sealed =
                draft.password == Secret.mask ? current.sealedPassword : draft.password.map { seal($0, of: id) }
            try await ProxyStore.update(id, to: draft, sealedPassword: sealed, on: change.connection)
            change.publish(.config)
            change.audit("update", "proxy", id.raw, request.body)
            return try await ProxyStore.find(id, on: change.connection)
        }
        guard let proxy else { throw Problem.notFound("proxy") }
        return .ok(view.json(proxy))
    }

    private func seal(_ password: String, of id: ProxyID) -> String {
        SealedBox.seal(
            Secret(password),
            for: ProxySnapshot.passwordSealingContext(of: id),
            with: context.masterKeys,
            nonce: SecureRandom.bytes(SealedBox.nonceBytes)
        )
    }

    private func delete(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = ProxyID(try request.id("proxy"))
        try await context.changes.commit(by: try request.author()) { change in
            guard let current = try await ProxyStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("proxy")
            }
            let uses = try await ProxyStore.uses(of: id, on: change.connection)
            guard uses == 0 else {
                throw Problem.conflict("The proxy is still used by \(uses) account\(uses == 1 ? "" : "s").")
            }
            try await ProxyStore.delete(id, on: change.connection)
            change.publish(.config)
            change.audit("delete", "proxy", id.raw, ["name": .string(current.fields.name)])
        }
        return .noContent
    }

    private func test(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = ProxyID(try request.id("proxy"))
        let draft = try ProxyTest.form.draft(from: request.body, startingWith: ProxyTest.Draft())
        guard let proxy = try await context.pool.withConnection({ try await ProxyStore.find(id, on: $0) }) else {
            throw Problem.notFound("proxy")
        }
        do throws(UpstreamFailure) {
            return .ok(await ProxyTest.run(try proxy.server(context.masterKeys), draft, with: context.upstream))
        } catch {
            throw Problem.conflict(error.description)
        }
    }
}
