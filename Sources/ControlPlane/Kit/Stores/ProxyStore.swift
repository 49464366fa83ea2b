package import Domain
package import Postgres

package enum ProxyProtocol: String, Sendable, CaseIterable { case http, https, socks5 }

package struct ProxyDraft: Hashable, Sendable {
    package var name = ""
    package var scheme = ProxyProtocol.http
    package var host = ""
    package var port: Int64 = 0
    package var username: String?
    /// In clear only while it is being set.
    package var password: String?

    package init() {}
}

package struct ProxyRecord: Hashable, Sendable {
    package let id: ProxyID
    package var fields: ProxyDraft
    package var sealedPassword: String?
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
}

package enum ProxyStore {
    static let columns = """
        p.id, p.name, p.protocol, p.host, p.port, p.username, p.password_sealed, \
        \(SQL.microseconds("p.created_at", as: "created_at")), \(SQL.microseconds("p.updated_at", as: "updated_at"))
        """

    static func record(_ row: PostgresRow) throws -> ProxyRecord {
        var fields = ProxyDraft()
        fields.name = try row.text("name")
        fields.scheme = try row.choice("protocol")
        fields.host = try row.text("host")
        fields.port = try row.int("port")
        fields.username = try row.optionalText("username")
        return ProxyRecord(
            id: ProxyID(try row.int("id")),
            fields: fields,
            sealedPassword: try row.optionalText("password_sealed"),
            createdAt: try row.time("created_at"),
            updatedAt: try row.time("updated_at")
        )
    }

    package static func find(
        _ id: ProxyID,
        on connection: PostgresConnection,
        forUpdate: Bool = false
    ) async throws -> ProxyRecord? {
        try await connection.query(
            "select \(columns) from proxies p where p.id = $1 and p.deleted_at is null\(forUpdate ? " for update" : "")",
            [.integer(id.raw)]
        ).first.map { try record($0) }
    }

    package static func nextID(on connection: PostgresConnection) async throws -> ProxyID {
        let rows = try await connection.query("select nextval(pg_get_serial_sequence('proxies', 'id')) as id")
        guard let row = rows.first else { throw PostgresError.decoding(column: "id") }
        return ProxyID(try row.int("id"))
    }

    private static func parameters(_ draft: ProxyDraft, _ sealedPassword: String?, _ id: ProxyID) -> [PostgresParameter]
    {
        [
            .text(draft.name), .text(draft.scheme.rawValue), .text(draft.host), .integer(draft.port),
            .optional(draft.username), .optional(sealedPassword), .integer(id.raw),
        ]
    }

    package static func insert(
        _ id: ProxyID,
        _ draft: ProxyDraft,
        sealedPassword: String?,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            """
            insert into proxies (name, protocol, host, port, username, password_sealed, id) overriding system value
            values ($1, $2, $3, $4::int, $5, $6, $7::bigint)
            """,
            parameters(draft, sealedPassword, id)
        )
    }

    package static func update(
        _ id: ProxyID,
        to draft: ProxyDraft,
        sealedPassword: String?,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            """
            update proxies set name = $1, protocol = $2, host = $3, port = $4::int, username = $5,
                password_sealed = $6, revision = nextval('revision_seq'), updated_at = now()
            where id = $7
            """,
            parameters(draft, sealedPassword, id)
        )
    }

    package static func delete(_ id: ProxyID, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            update proxies set deleted_at = now(), revision = nextval('revision_seq'), updated_at = now()
            where id = $1
            """,
            [.integer(id.raw)]
        )
    }

    /// The accounts that go through it.
    package static func uses(of id: ProxyID, on connection: PostgresConnection) async throws -> Int64 {
        let rows = try await connection.query(
            "select count(*) as count from accounts where proxy_id = $1 and deleted_at is null",
            [.integer(id.raw)]
        )
        return try rows.first?.int("count") ?? 0
    }
}
