package import Domain
package import Formats
import Postgres

/// A change that was made through the API.
package struct AuditEntry: Sendable {
    package let id: Int64
    package let author: UserID?
    package let action: String
    package let resource: String
    package let resourceID: Int64?
    package let detail: JSON
    package let ip: String
    package let createdAt: Timestamp
}

package enum AuditStore {
    static let columns = """
        l.id, l.actor_id, l.action, l.resource, l.resource_id, l.detail, l.ip, \
        \(SQL.microseconds("l.created_at", as: "created_at"))
        """

    static func record(_ row: PostgresRow) throws -> AuditEntry {
        AuditEntry(
            id: try row.int("id"),
            author: try row.optionalInt("actor_id").map { UserID($0) },
            action: try row.text("action"),
            resource: try row.text("resource"),
            resourceID: try row.optionalInt("resource_id"),
            detail: try row.json("detail"),
            ip: try row.text("ip"),
            createdAt: try row.time("created_at")
        )
    }
}
