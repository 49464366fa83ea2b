import Domain
import Formats
import Postgres

/// `/profile`: one's own user.
package struct ProfileRoutes {
    private let context: AdminContext
    private let view = UserView.view

    package init(_ context: AdminContext) { self.context = context }

    private struct Draft {
        var email = ""
    }
    private let form = Form<Draft>([.required("email", \.email, .email)], readOnly: UserView.view.names)

    package var routes: [Route] {
        [
            Route("GET", "/api/v1/profile", .session, "Read one's own profile", answer: view.schema) { request in
                .ok(view.json(try request.signedIn().user))
            },
            Route(
                "PATCH",
                "/api/v1/profile",
                .session,
                "Change one's own profile",
                body: form.schema(for: .patch),
                answer: view.schema,
                handler: update
            ),
        ]
    }

    private func update(_ request: AdminRequest) async throws -> AdminAnswer {
        let id = try request.signedIn().user.id
        let user = try await context.changes.commit(by: try request.author()) { change in
            guard let current = try await UserStore.find(id, on: change.connection, forUpdate: true) else {
                throw Problem.notFound("user")
            }
            var draft = current.fields
            draft.email = try form.patched(Draft(email: draft.email), with: request.body).email
            try await UserStore.update(id, to: draft, passwordHash: nil, on: change.connection)
            change.publish(.user(id))
            change.audit("update", "user", id.raw, request.body)
            return try await UserStore.find(id, on: change.connection) ?? current
        }
        return .ok(view.json(user))
    }
}
