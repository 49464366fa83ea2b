import Crypto
package import Domain
package import Formats
package import Postgres
package import Telemetry

/// Who asks for a change, for the audit log.
package struct ChangeAuthor: Sendable {
    package let user: UserID?
    package let ip: String

    package init(user: UserID?, ip: String) {
        self.user = user
        self.ip = ip
    }

    /// The control plane itself.
    package static let system = ChangeAuthor(user: nil, ip: "")
}

/// What must be told to the workers about a change.
package enum OutboxEntry: Hashable, Sendable {
    /// The configuration snapshot.
    case config
    case key(KeyID)
    /// All keys of a user, and the user's limits and balance.
    case user(UserID)
    /// One account's credentials.
    case account(AccountID)
    /// What Redis has of an account's flags is to be forgotten, and with `isRecovery` its error as well.
    case marks(AccountID, isRecovery: Bool)
    /// What a user has spent: wallet, quotas, windows.
    case money(UserID)
    /// What has been spent through an account, or what its quotas are.
    case quota(AccountID)

    package var kind: String {
        switch self {
        case .config: "config"
        case .key: "key"
        case .user: "user"
        case .account: "account"
        case .marks(_, let isRecovery): isRecovery ? "account_error" : "account_flags"
        case .money: "money"
        case .quota: "account_quota"
        }
    }

    package var subject: Int64 {
        switch self {
        case .config: 0
        case .key(let id): id.raw
        case .user(let id): id.raw
        case .account(let id): id.raw
        case .marks(let id, _): id.raw
        case .money(let id): id.raw
        case .quota(let id): id.raw
        }
    }
}

/// One change while its transaction runs: what it touches, what must be published, what the audit log will say.
package final class Change {
    package let connection: PostgresConnection
    package let author: ChangeAuthor
    /// When it was asked for.
    package let now = Timestamp.now
    private var entries: [OutboxEntry] = []
    private var seen: Set<OutboxEntry> = []
    private var audits: [(action: String, resource: String, id: Int64?, detail: JSON)] = []

    init(_ connection: PostgresConnection, by author: ChangeAuthor) {
        self.connection = connection
        self.author = author
    }

    /// Puts an entry into the outbox, once.
    package func publish(_ entry: OutboxEntry) {
        if seen.insert(entry).inserted { entries.append(entry) }
    }

    /// Notes what was done. `detail` is what was asked for; secrets in it are masked here.
    package func audit(_ action: String, _ resource: String, _ id: Int64?, _ detail: JSON = [:]) {
        audits.append((action, resource, id, SecretMask.masked(detail)))
    }

    func writeNotes() async throws {
        for entry in entries {
            try await connection.execute(
                "insert into outbox (kind, subject) values ($1, $2)",
                [.text(entry.kind), .integer(entry.subject)]
            )
        }
        for audit in audits {
            try await connection.execute(
                """
                insert into audit_log (actor_id, action, resource, resource_id, detail, ip)
                values ($1::bigint, $2, $3, $4::bigint, $5::jsonb, $6)
                """,
                [
                    .optional(author.user?.raw), .text(audit.action), .text(audit.resource), .optional(audit.id),
                    .json(audit.detail), .text(author.ip),
                ]
            )
        }
    }

    var isToBePublished: Bool { !entries.isEmpty }
}

/// Runs changes: row, revision, outbox and audit log in one transaction, then the publisher.
package final class ChangeNotifier {
    /// Called after a commit that left something in the outbox; a route answers only when it has returned, so that
    /// workers know of a change before its author does. What it throws is logged: the outbox heals it.
    package var onCommitted: (() async throws -> Void)?

    private let pool: PostgresPool
    private let log: Log
    private static let retries = 3

    package init(_ pool: PostgresPool, log: Log) {
        self.pool = pool
        self.log = log
    }

    /// Runs `body` in a transaction that other changes wait for.
    ///
    /// Changes are rare and run one after another, so revisions become visible in the order of their numbers and a
    /// snapshot "up to revision 7" lacks nothing below 7. After a deadlock with the settler `body` runs again.
    package func commit<Value>(
        by author: ChangeAuthor,
        _ body: (Change) async throws -> Value
    ) async throws -> Value {
        let (value, isToBePublished) = try await pool.withTransaction(retries: Self.retries) { connection in
            try await connection.execute("select pg_advisory_xact_lock($1)", [.integer(AdvisoryLock.changes)])
            let change = Change(connection, by: author)
            let value = try await body(change)
            try await change.writeNotes()
            return (value, change.isToBePublished)
        }
        if isToBePublished { await notify() }
        return value
    }

    private func notify() async {
        do {
            try await onCommitted?()
        } catch {
            log.warning("change committed but not published yet", ["error": "\(error)"])
        }
    }
}

/// Secrets in what the audit log keeps and in what answers echo.
package enum SecretMask {
    package static let text = Secret.mask

    private static let names: Set<String> = [
        "password", "current_password", "new_password", "api_key", "key", "access_token", "refresh_token",
        "client_secret", "secret_access_key", "session_token", "totp", "token",
    ]
    /// Objects whose every value may be one.
    private static let containers: Set<String> = ["header_overrides"]

    package static func masked(_ json: JSON) -> JSON {
        switch json {
        case .object(let members):
            .object(
                members.map { name, value in
                    if names.contains(name), !value.isNull { return (key: name, value: .string(text)) }
                    if containers.contains(name), let inner = value.object {
                        return (key: name, value: .object(inner.map { (key: $0.key, value: .string(text)) }))
                    }
                    return (key: name, value: masked(value))
                }
            )
        case .array(let items): .array(items.map { masked($0) })
        // Postgres' jsonb cannot hold NUL.
        case .string(let text) where text.utf8.contains(0): .string(text.filter { $0 != "\0" })
        default: json
        }
    }
}
