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
        .choice("kind", "r.kind", UsageEntry.Kind.allCases.map(\.rawValue)),
    ]
    private let ownFilters: [ListRules.Filter] = [
        .id("key_id", "r.key_id"), .id("group_id", "r.group_id"), .text("model", "r.model"),
        .text("request_id", "r.request_id"), .flag("stream", "r.stream"), .from("from", "r.created_at"),
        .until("to", "r.created_at"), .choice("kind", "r.kind", UsageEntry.Kind.allCases.map(\.rawValue)),
    ]

    package init(_ context: AdminContext) { self.context = context }

    package var routes: [Route] {
        [
            Route(
                "GET",
                "/api/v1/admin/usage",
                .admin,
                "List settled calls and what has become of policies, newest first",
                query: KeysetRequest.parameters(adminFilters),
                answer: Schema.keyset(of: UsageView.view(forAdmin: true).schema)
            ) { request in
                try await list(request, adminFilters, where: Conditions(), forAdmin: true)
            },
            Route(
                "GET",
                "/api/v1/admin/usage.csv",
                .admin,
                "Export the usage log, newest first, as CSV; x-next-cursor leads to what did not fit",
                query: KeysetRequest.parameters(adminFilters),
                answer: Schema.text,
                answerType: "text/csv"
            ) { request in try await export(request, adminFilters, where: Conditions(), forAdmin: true) },
            Route(
                "GET",
                "/api/v1/usage.csv",
                .session,
                "Export one's own usage log, newest first, as CSV",
                query: KeysetRequest.parameters(ownFilters),
                answer: Schema.text,
                answerType: "text/csv"
            ) { request in
                var own = Conditions()
                own.add("r.user_id = \(own.bind(.integer(try request.signedIn().user.id.raw)))")
                return try await export(request, ownFilters, where: own, forAdmin: false)
            },
            Route(
                "GET",
                "/api/v1/usage",
                .session,
                "List one's own settled calls and what has become of one's policies, newest first",
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
        var entries = try await UsageStore.page(
            keyset.conditions,
            after: keyset.cursor,
            limit: keyset.size + 1,
            in: context.pool
        )
        var next: UsageStore.Cursor?
        if entries.count > Int(keyset.size) {
            entries.removeLast()
            next = entries.last.map { UsageStore.Cursor($0) }
        }
        return .ok([
            "items": .array(entries.map { UsageView.json($0, forAdmin: forAdmin) }),
            "next_cursor": next.map { .string($0.text) } ?? .null,
        ])
    }

    /// Rows of one file; what follows has a file of its own.
    private static let fileRows = 50_000
    private static let fileBatch: Int64 = 2000

    private func export(
        _ request: AdminRequest,
        _ filters: [ListRules.Filter],
        where base: Conditions,
        forAdmin: Bool
    ) async throws -> AdminAnswer {
        let keyset = try KeysetRequest(request.head, filters, where: base)
        var cursor = keyset.cursor
        var file = UsageFile(forAdmin: forAdmin)
        var headers = [("content-disposition", "attachment; filename=\"usage.csv\"")]
        while true {
            let entries = try await UsageStore.page(
                keyset.conditions,
                after: cursor,
                limit: Self.fileBatch,
                in: context.pool
            )
            for entry in entries { file.add(entry) }
            guard entries.count == Int(Self.fileBatch), let last = entries.last else { break }
            let next = UsageStore.Cursor(last)
            cursor = next
            if file.rows >= Self.fileRows {
                headers.append(("x-next-cursor", next.text))
                break
            }
            // The loop has others to serve.
            await Task.yield()
        }
        return .file("text/csv; charset=utf-8", file.bytes, headers: headers)
    }
}
