package import Domain
import Formats
import Telemetry

/// What admins do about an account's error and flags: in Postgres and in Redis at once, so that every worker acts on it
/// before the call is answered.
package struct AccountFlagRoutes {
    private let context: AdminContext
    private let answers: AccountAnswers

    package init(_ context: AdminContext) {
        self.context = context
        answers = AccountAnswers(context)
    }

    private struct Switch { var isOn = true }

    private let form = Form<Switch>([.required("schedulable", \.isOn, .flag)])

    package var routes: [Route] {
        let path = "/api/v1/admin/accounts/{id}"
        return [
            Route(
                "POST",
                path + "/recover",
                .admin,
                "End an account's error and its flags",
                answer: answers.schema,
                handler: recover
            ),
            Route(
                "POST",
                path + "/clear-flags",
                .admin,
                "End an account's flags",
                answer: answers.schema,
                handler: clearFlags
            ),
            Route(
                "POST",
                path + "/reset-quota",
                .admin,
                "Begin an account's daily, weekly and total quota anew",
                answer: answers.schema,
                handler: resetQuota
            ),
            Route(
                "POST",
                path + "/schedulable",
                .admin,
                "Let an account be chosen, or not",
                body: form.schema(for: .create),
                answer: answers.schema,
                handler: setSchedulable
            ),
        ]
    }

    /// Ends an account's error and flags within a change, and lets its tokens be renewed again. A test call that succeeds does
    /// the same.
    ///
    /// - Returns: false when there is no such account.
    @discardableResult
    package static func recover(_ id: AccountID, with change: Change) async throws -> Bool {
        guard var standing = try await AccountStandingStore.find(id, on: change.connection) else { return false }
        let wasInError = standing.status == .error
        standing.recover(now: Timestamp.now)
        try await AccountStandingStore.update(id, to: standing, isConfig: wasInError, on: change.connection)
        try await TokenStore.trust(id, on: change.connection)
        change.publish(.marks(id, isRecovery: true))
        if wasInError { change.publish(.config) }
        return true
    }

    private func recover(_ request: AdminRequest) async throws -> AdminAnswer {
        try await change(request, "recover") { id, change in try await Self.recover(id, with: change) }
    }

    private func clearFlags(_ request: AdminRequest) async throws -> AdminAnswer {
        try await change(request, "clear-flags") { id, change in
            guard var standing = try await AccountStandingStore.find(id, on: change.connection) else { return false }
            standing.clearFlags(now: Timestamp.now)
            try await AccountStandingStore.update(id, to: standing, isConfig: false, on: change.connection)
            change.publish(.marks(id, isRecovery: false))
            return true
        }
    }

    private func resetQuota(_ request: AdminRequest) async throws -> AdminAnswer {
        try await change(request, "reset-quota") { id, change in
            guard try await AccountStore.find(id, on: change.connection, forUpdate: true) != nil else { return false }
            try await AccountQuotaStore.reset(id, now: change.now, on: change.connection)
            change.publish(.quota(id))
            return true
        }
    }

    private func setSchedulable(_ request: AdminRequest) async throws -> AdminAnswer {
        let wanted = try form.draft(from: request.body, startingWith: Switch())
        return try await change(request, "schedulable") { id, change in
            guard let current = try await AccountStore.find(id, on: change.connection, forUpdate: true) else {
                return false
            }
            guard current.fields.isSchedulable != wanted.isOn else { return true }
            var draft = current.fields
            draft.isSchedulable = wanted.isOn
            try await AccountStore.update(id, to: draft, on: change.connection)
            change.publish(.config)
            return true
        }
    }

    /// - Parameter body: false when there is no such account.
    private func change(
        _ request: AdminRequest,
        _ action: String,
        _ body: (AccountID, Change) async throws -> Bool
    ) async throws -> AdminAnswer {
        let id = AccountID(try request.id("account"))
        let account = try await context.changes.commit(by: try request.author()) { change in
            guard try await body(id, change) else { throw Problem.notFound("account") }
            change.audit(action, "account", id.raw, request.body.isNull ? [:] : request.body)
            return try await AccountStore.find(id, on: change.connection)
        }
        guard let account else { throw Problem.notFound("account") }
        return .ok(await answers.json(account))
    }
}
