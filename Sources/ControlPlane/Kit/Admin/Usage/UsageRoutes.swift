import Domain
import Formats
import Postgres

/// `/admin/usage` for all calls, `/usage` for one's own. Newest first, by cursor: pages do not shift while calls settle.
package struct UsageRoutes {
    private let context: AdminContext
    private let adminFilters: [ListRules.Filter] = [
        .id("user_id", "r.user_id"), .id("key_id", "r.key_id"), .id("account_id", "r.account_id"),
        .id("group_id", "r.group_id"), .text("model", "r.model"), .text("request_id", "r.request_id"),
        .flag("stream", "r.stream"), .from("from", "r.created_at"), .until("to", "r.created_at"),
    ]
    private let ownFilters: [ListRules.Filter] = [
        .id("key_id", "r.key_id"), .id("group_id", "r.group_id"), .text("model", "r.model"),
        .text("request_id", "r.request_id"), .flag("stream", "r.stream"), .from("from", "r.created_at"),
        .until("to", "r.created_at"),
    ]

    package init(_ context: AdminContext) { self.context = context }

    package var routes: [Route] {
        [
            Route(
                "GET",
                "/api/v1/admin/usage",
                .admin,
                "List settled calls, newest first",
                query: KeysetRequest.parameters(adminFilters),
                answer: Schema.keyset(of: UsageView.view(forAdmin: true).schema)
            ) { request in
                try await list(request, adminFilters, where: Conditions(), forAdmin: true)
            },
            Route(
                "GET",
                "/api/v1/usage",
                .session,
                "List one's own settled calls, newest first",
                query: KeysetRequest.parameters(ownFilters),
                answer: Schema.keyset(of: UsageView.view(forAdmin: false).schema)
            ) { request in
                var own = Conditions()
                own.add("r.user_id = \(own.bind(.integer(try request.signedIn().user.id.raw)))")
                return try await list(request, ownFilters, where: own, forAdmin: false)
            },
        ]
    }

    private func list(
        _ request: AdminRequest,
        _ filters: [ListRules.Filter],
        where base: Conditions,
        forAdmin: Bool
    ) async throws -> AdminAnswer {
        let keyset = try KeysetRequest(request.head, filters, where: base)
        // One row more than asked for tells whether there is a next page.
        var records = try await UsageStore.page(
            keyset.conditions,
            after: keyset.cursor,
            limit: keyset.size + 1,
            in: context.pool
        )
        var next: UsageStore.Cursor?
        if records.count > Int(keyset.size) {
            records.removeLast()
            next = records.last.map { UsageStore.Cursor(createdAt: $0.createdAt, requestID: $0.requestID) }
        }
        return .ok([
            "items": .array(records.map { UsageView.json($0, forAdmin: forAdmin) }),
            "next_cursor": next.map { .string($0.text) } ?? .null,
        ])
    }
}
