package import Domain
import Formats
package import Postgres

/// The classes that a price may name, in the order in which they are shown.
package enum RateClass: String, Sendable, CaseIterable {
    case input, output
    case cacheWrite5m = "cache_write_5m"
    case cacheWrite1h = "cache_write_1h"
    case cacheRead = "cache_read"
    case inputAbove200k = "input_above_200k"
    case outputAbove200k = "output_above_200k"
    case cacheReadAbove200k = "cache_read_above_200k"
    case inputAbove272k = "input_above_272k"
    case outputAbove272k = "output_above_272k"
    case imageInput = "image_input"
    case audioInput = "audio_input"
    case imageOutput = "image_output"
    case audioOutput = "audio_output"
    /// A call of the server-side web search: USD a call, not per million tokens.
    case webSearch = "web_search"
    /// Each call, whatever its tokens: USD a call.
    case request
}

package struct PriceDraft: Hashable, Sendable {
    package var model = ""
    package var match = ModelPrice.Match.exact
    /// nano-USD per million tokens (`web_search`, `request`: per call). Tokens of a class without an entry cost what those
    /// of `input` or `output` do, which they are part of; what is billed by the call costs nothing then.
    package var rates: [RateClass: PricePerMillion] = [:]

    package init() {}
}

package struct PriceRecord: Hashable, Sendable {
    package let id: Int64
    package var fields: PriceDraft
    package var revision: Int64
    package var createdAt: Timestamp
    package var updatedAt: Timestamp

    /// The price as workers use it.
    package var price: ModelPrice {
        let input = fields.rates[.input] ?? PricePerMillion(0)
        let written = fields.rates[.cacheWrite5m] ?? input
        func amount(_ name: RateClass) -> NanoUSD { NanoUSD(fields.rates[name]?.raw ?? 0) }
        return ModelPrice(
            model: fields.model,
            match: fields.match,
            revision: revision,
            input: input,
            output: fields.rates[.output] ?? PricePerMillion(0),
            cacheWrite5m: written,
            cacheWrite1h: fields.rates[.cacheWrite1h] ?? written,
            cacheRead: fields.rates[.cacheRead] ?? input,
            inputMedia: .init(image: fields.rates[.imageInput], audio: fields.rates[.audioInput]),
            outputMedia: .init(image: fields.rates[.imageOutput], audio: fields.rates[.audioOutput]),
            webSearch: amount(.webSearch),
            request: amount(.request)
        )
    }
}

package enum PriceStore {
    static let columns = """
        p.id, p.model, p.match, p.rates, p.revision, \(SQL.microseconds("p.created_at", as: "created_at")), \
        \(SQL.microseconds("p.updated_at", as: "updated_at"))
        """

    static func record(_ row: PostgresRow) throws -> PriceRecord {
        var fields = PriceDraft()
        fields.model = try row.text("model")
        guard let match = ModelPrice.Match(rawValue: try row.text("match")) else {
            throw PostgresError.decoding(column: "match")
        }
        fields.match = match
        for (name, value) in try row.json("rates").object ?? [] {
            if let rate = RateClass(rawValue: name), let raw = value.int64 { fields.rates[rate] = PricePerMillion(raw) }
        }
        return PriceRecord(
            id: try row.int("id"),
            fields: fields,
            revision: try row.int("revision"),
            createdAt: try row.time("created_at"),
            updatedAt: try row.time("updated_at")
        )
    }

    package static func find(
        _ id: Int64,
        on connection: PostgresConnection,
        forUpdate: Bool = false
    ) async throws -> PriceRecord? {
        try await connection.query(
            "select \(columns) from prices p where p.id = $1 and p.deleted_at is null\(forUpdate ? " for update" : "")",
            [.integer(id)]
        ).first.map { try record($0) }
    }

    package static func all(on connection: PostgresConnection) async throws -> [ModelPrice] {
        try await connection.query("select \(columns) from prices p where p.deleted_at is null").map {
            try record($0).price
        }
    }

    private static func parameters(_ draft: PriceDraft) -> [PostgresParameter] {
        let rates = RateClass.allCases.compactMap { name in
            draft.rates[name].map { (key: name.rawValue, value: JSON.int($0.raw)) }
        }
        return [.text(draft.model), .text(draft.match.rawValue), .json(.object(rates))]
    }

    package static func insert(_ draft: PriceDraft, on connection: PostgresConnection) async throws -> Int64 {
        let rows = try await connection.query(
            "insert into prices (model, match, rates) values ($1, $2, $3::jsonb) returning id",
            parameters(draft)
        )
        guard let row = rows.first else { throw PostgresError.decoding(column: "id") }
        return try row.int("id")
    }

    package static func insert(_ drafts: [PriceDraft], on connection: PostgresConnection) async throws {
        try await connection.executeBatch(
            "insert into prices (model, match, rates) values ($1, $2, $3::jsonb)",
            drafts.map { parameters($0) }
        )
    }

    package static func update(_ id: Int64, to draft: PriceDraft, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            update prices set model = $1, match = $2, rates = $3::jsonb, revision = nextval('revision_seq'),
                updated_at = now()
            where id = $4
            """,
            parameters(draft) + [.integer(id)]
        )
    }

    package static func delete(_ id: Int64, on connection: PostgresConnection) async throws {
        try await connection.execute(
            "update prices set deleted_at = now(), revision = nextval('revision_seq'), updated_at = now() where id = $1",
            [.integer(id)]
        )
    }

    package static func isEmpty(on connection: PostgresConnection) async throws -> Bool {
        try await connection.query("select 1 as one from prices limit 1").isEmpty
    }
}
