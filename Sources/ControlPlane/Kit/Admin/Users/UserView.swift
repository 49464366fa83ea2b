import Domain
import Formats

/// A user in answers.
package enum UserView {
    package static var view: View<UserRecord> {
        View([
            .init("id", Schema.id) { .int($0.id.raw) },
            .init("email", Schema.text) { .string($0.fields.email) },
            .init("role", Schema.choice(UserRole.allCases.map(\.rawValue))) { .string($0.fields.role.rawValue) },
            .init("status", Schema.choice(UserStatus.allCases.map(\.rawValue))) { .string($0.fields.status.rawValue) },
            .init("balance", Schema.money) { .money($0.fields.balance) },
            .init("concurrency", Schema.integer) { .int($0.fields.concurrency) },
            .init("rpm", Schema.integer) { .int($0.fields.rpm) },
            .init("created_at", Schema.time) { .time($0.createdAt) },
            .init("updated_at", Schema.time) { .time($0.updatedAt) },
        ])
    }

    package static var ledger: View<LedgerEntry> {
        View([
            .init("id", Schema.id) { .int($0.id) },
            .init("kind", Schema.choice(["top_up", "charge", "adjustment"])) { .string($0.kind) },
            .init("amount", Schema.money) { .money($0.amount) },
            .init("balance_after", Schema.money) { .money($0.balanceAfter) },
            .init("request_id", Schema.text.nullable) { $0.requestID.map { .string($0) } ?? .null },
            .init("note", Schema.text) { .string($0.note) },
            .init("actor_id", Schema.id.nullable) { $0.author.map { .int($0.raw) } ?? .null },
            .init("created_at", Schema.time) { .time($0.createdAt) },
        ])
    }
}
