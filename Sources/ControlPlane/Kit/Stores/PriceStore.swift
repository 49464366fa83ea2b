package import Domain
import Formats
package import Postgres

/// The classes that a price may name, in the order in which they are shown.
package enum RateClass: String, Sendable, CaseIterable {
    case input, output
    case cacheWrite5m = "cache_write_5m"
    case cacheWrite1h = "cache_write_1h"
    case cacheRead = "cache_read"
    case inputAbove100k = "input_above_100k"
    case outputAbove100k = "output_above_100k"
    case cacheWrite5mAbove100k = "cache_write_5m_above_100k"
    case cacheWrite1hAbove100k = "cache_write_1h_above_100k"
    case cacheReadAbove100k = "cache_read_above_100k"
    case inputAbove200k = "input_above_200k"
    case outputAbove200k = "output_above_200k"
    case cacheWrite5mAbove200k = "cache_write_5m_above_200k"
    case cacheWrite1hAbove200k = "cache_write_1h_above_200k"
    case cacheReadAbove200k = "cache_read_above_200k"
    case inputAbove272k = "input_above_272k"
    case outputAbove272k = "output_above_272k"
    case cacheWrite5mAbove272k = "cache_write_5m_above_272k"
    case cacheReadAbove272k = "cache_read_above_272k"
    case inputFlex = "input_flex"
    case outputFlex = "output_flex"
    case cacheWrite5mFlex = "cache_write_5m_flex"
    case cacheReadFlex = "cache_read_flex"
    case inputPriority = "input_priority"
    case outputPriority = "output_priority"
    case cacheWrite5mPriority = "cache_write_5m_priority"
    case cacheReadPriority = "cache_read_priority"
    case inputUltrafast = "input_ultrafast"
    case outputUltrafast = "output_ultrafast"
    case cacheWrite5mUltrafast = "cache_write_5m_ultrafast"
    case cacheReadUltrafast = "cache_read_ultrafast"
    case inputFast = "input_fast"
    case outputFast = "output_fast"
    case cacheWrite5mFast = "cache_write_5m_fast"
    case cacheWrite1hFast = "cache_write_1h_fast"
    case cacheReadFast = "cache_read_fast"
    case inputUS = "input_us"
    case outputUS = "output_us"
    case cacheWrite5mUS = "cache_write_5m_us"
    case cacheWrite1hUS = "cache_write_1h_us"
    case cacheReadUS = "cache_read_us"
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
    /// Tokens of input that the model takes; nil where that is not known.
    package var maximumInput: Int64?
    /// Tokens that an answer can have.
    package var maximumOutput: Int64?

    package init() {}
}

extension ModelPrice.Rates {
    /// What stands in for the usual prices, of the classes that have names with this ending. A class that usually costs
    /// what input does goes on doing so.
    fileprivate init(_ ending: String, _ rates: [RateClass: PricePerMillion]) {
        func rate(_ usual: RateClass, orOf other: PricePerMillion? = nil) -> PricePerMillion? {
            RateClass(rawValue: usual.rawValue + ending).flatMap { rates[$0] } ?? (rates[usual] == nil ? other : nil)
        }
        let input = rate(.input)
        let written = rate(.cacheWrite5m, orOf: input)
        self.init(
            input: input,
            output: rate(.output),
            cacheWrite5m: written,
            cacheWrite1h: rate(.cacheWrite1h, orOf: written),
            cacheRead: rate(.cacheRead, orOf: input)
        )
    }
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
        let bounds: [(Int64, String)] = [(100_000, "_above_100k"), (200_000, "_above_200k"), (272_000, "_above_272k")]
        let contexts = bounds.map { above, ending in
            ModelPrice.LongContext(above: above, ModelPrice.Rates(ending, fields.rates))
        }
        var tiers: [ServiceTier: ModelPrice.Rates] = [:]
        for tier in ServiceTier.allCases where tier.priced == [tier] {
            let rates = ModelPrice.Rates("_" + tier.rawValue, fields.rates)
            if !rates.isEmpty { tiers[tier] = rates }
        }
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
            request: amount(.request),
            longContexts: contexts.filter { !$0.rates.isEmpty },
            tiers: tiers,
            maximumInput: fields.maximumInput,
            maximumOutput: fields.maximumOutput
        )
    }
}

package enum PriceStore {
    static let columns = """
        p.id, p.model, p.match, p.rates, p.revision, p.max_input_tokens, p.max_output_tokens, \(SQL.microseconds("p.created_at", as: "created_at")), \
        \(SQL.microseconds("p.updated_at", as: "updated_at"))
        """

    static func record(_ row: PostgresRow) throws -> PriceRecord {
        var fields = PriceDraft()
        fields.model = try row.text("model")
        guard let match = ModelPrice.Match(rawValue: try row.text("match")) else {
            throw PostgresError.decoding(column: "match")
        }
        fields.match = match
        fields.rates = rates(try row.json("rates"))
        fields.maximumInput = try row.optionalInt("max_input_tokens")
        fields.maximumOutput = try row.optionalInt("max_output_tokens")
        return PriceRecord(
            id: try row.int("id"),
            fields: fields,
            revision: try row.int("revision"),
            createdAt: try row.time("created_at"),
            updatedAt: try row.time("updated_at")
        )
    }

    static func rates(_ json: JSON) -> [RateClass: PricePerMillion] {
        var rates: [RateClass: PricePerMillion] = [:]
        for (name, value) in json.object ?? [] {
            if let rate = RateClass(rawValue: name), let raw = value.int64 { rates[rate] = PricePerMillion(raw) }
        }
        return rates
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
        return [
            .text(draft.model), .text(draft.match.rawValue), .json(.object(rates)), .optional(draft.maximumInput),
            .optional(draft.maximumOutput),
        ]
    }

    private static let insertion = """
        insert into prices (model, match, rates, max_input_tokens, max_output_tokens)
        values ($1, $2, $3::jsonb, $4::bigint, $5::bigint)
        """

    package static func insert(_ draft: PriceDraft, on connection: PostgresConnection) async throws -> Int64 {
        let rows = try await connection.query(
            insertion + " returning id",
            parameters(draft)
        )
        guard let row = rows.first else { throw PostgresError.decoding(column: "id") }
        return try row.int("id")
    }

    package static func insert(_ drafts: [PriceDraft], on connection: PostgresConnection) async throws {
        try await connection.executeBatch(
            insertion,
            drafts.map { parameters($0) }
        )
    }

    package static func update(_ id: Int64, to draft: PriceDraft, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            update prices set model = $1, match = $2, rates = $3::jsonb, max_input_tokens = $4::bigint,
                max_output_tokens = $5::bigint, revision = nextval('revision_seq'), updated_at = now()
            where id = $6
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
