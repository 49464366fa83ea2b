import Domain
import Formats
import Postgres

/// `/admin/audit`: who changed what, newest first.
package struct AuditRoutes {
    private let context: AdminContext
    private let rules = ListRules(
        sorts: ["id": "l.id", "created_at": "l.created_at"],
        defaultSort: "l.id desc",
        search: [],
        filters: [
            .id("actor_id", "l.actor_id"), .text("action", "l.action"), .text("resource", "l.resource"),
            .id("resource_id", "l.resource_id"), .from("from", "l.created_at"), .until("to", "l.created_at"),
        ]
    )

    package init(_ context: AdminContext) { self.context = context }

    package static var view: View<AuditEntry> {
        View([
            .init("id", Schema.id) { .int($0.id) },
            .init("actor_id", Schema.id.nullable) { $0.author.map { .int($0.raw) } ?? .null },
            .init("action", Schema.text) { .string($0.action) },
            .init("resource", Schema.text) { .string($0.resource) },
            .init("resource_id", Schema.id.nullable) { $0.resourceID.map { .int($0) } ?? .null },
            .init("detail", Schema.object) { $0.detail },
            .init("ip", Schema.text) { .string($0.ip) },
            .init("created_at", Schema.time) { .time($0.createdAt) },
        ])
    }

    package var routes: [Route] {
        [
            Route(
                "GET",
                "/api/v1/admin/audit",
                .admin,
                "List changes, newest first",
                query: rules.parameters,
                answer: Schema.page(of: Self.view.schema),
                handler: list
            )
        ]
    }

    private func list(_ request: AdminRequest) async throws -> AdminAnswer {
        let page = try PageRequest(request.head, rules, where: Conditions())
        let (entries, total) = try await context.pool.withConnection {
            try await page.fetch(AuditStore.columns, from: "audit_log l", on: $0) { try AuditStore.record($0) }
        }
        return page.answer(entries.map { Self.view.json($0) }, total: total)
    }
}
