import Formats
import Postgres

/// `/admin/settings/{name}`: read and replace settings.
package struct SettingsRoutes {
    private let context: AdminContext

    package init(_ context: AdminContext) { self.context = context }

    /// Each setting is a path of its own, so that the description has its fields.
    package var routes: [Route] {
        SettingForm.all.flatMap { form in
            let path = "/api/v1/admin/settings/\(form.name)"
            return [
                Route("GET", path, .admin, "Read the setting \(form.name)", answer: form.schema) { _ in
                    let stored = try await context.pool.withConnection {
                        try await SettingsStore.find(form.name, on: $0)
                    }
                    return .ok(form.value(of: stored))
                },
                Route(
                    "PUT",
                    path,
                    .admin,
                    "Replace the setting \(form.name); fields left out get their defaults",
                    body: form.schema,
                    answer: form.schema
                ) { request in
                    let (value, faults) = form.read(request.body)
                    if !faults.isEmpty { throw Problem.invalid(faults) }
                    try await context.changes.commit(by: try request.author()) { change in
                        try await SettingsStore.put(form.name, value, on: change.connection)
                        change.publish(.config)
                        change.audit("put", "setting:\(form.name)", nil, value)
                    }
                    return .ok(value)
                },
            ]
        }
    }
}
