import Domain
package import Formats
package import HTTPMessages
package import Postgres

/// What can be asked of a list: how it is sorted, searched and filtered. Names of the API on one side, SQL on the other.
package struct ListRules {
    package struct Filter {
        let name: String
        let schema: JSON
        let summary: String
        /// Adds the condition for a text of the query, or says what is wrong with it.
        let apply: (String, inout Conditions) -> String?
    }

    /// API name → SQL expression.
    package let sorts: KeyValuePairs<String, String>
    /// SQL, the last resort included: rows must have one order only.
    package let defaultSort: String
    /// SQL expressions in which `q` is looked for.
    package let search: [String]
    package let filters: [Filter]

    package init(
        sorts: KeyValuePairs<String, String>,
        defaultSort: String,
        search: [String],
        filters: [Filter] = []
    ) {
        self.sorts = sorts
        self.defaultSort = defaultSort
        self.search = search
        self.filters = filters
    }

    package static let pageSizes: ClosedRange<Int64> = 1...200

    /// The query parameters, for the description.
    package var parameters: [QueryParameter] {
        let names = sorts.flatMap { [JSON.string($0.key), .string("-" + $0.key)] }
        return [
            QueryParameter("page", ["type": "integer", "minimum": 1, "default": 1], "Which page."),
            QueryParameter(
                "page_size",
                ["type": "integer", "minimum": 1, "maximum": .int(Self.pageSizes.upperBound), "default": 50],
                "Items on a page."
            ),
            QueryParameter(
                "sort",
                ["type": "string", "enum": .array(names)],
                "The order; a minus sign turns it round."
            ),
        ] + (search.isEmpty ? [] : [QueryParameter("q", Schema.text, "A text to look for.")])
            + filters.map { QueryParameter($0.name, $0.schema, $0.summary) }
    }
}

extension ListRules.Filter {
    /// Rows whose column is this number.
    package static func id(_ name: String, _ column: String) -> Self {
        Self(name: name, schema: Schema.id, summary: "Only of this \(name).") { text, conditions in
            guard let number = Int64(text) else { return "must be a whole number" }
            conditions.add("\(column) = \(conditions.bind(.integer(number)))")
            return nil
        }
    }

    package static func choice(_ name: String, _ column: String, _ words: [String]) -> Self {
        Self(name: name, schema: Schema.choice(words), summary: "Only with this \(name).") { text, conditions in
            guard words.contains(text) else { return "must be one of \(words.joined(separator: ", "))" }
            conditions.add("\(column) = \(conditions.bind(.text(text)))")
            return nil
        }
    }

    package static func flag(_ name: String, _ column: String) -> Self {
        Self(name: name, schema: Schema.flag, summary: "Only with this \(name).") { text, conditions in
            guard text == "true" || text == "false" else { return "must be true or false" }
            conditions.add("\(column) = \(text)")
            return nil
        }
    }

    package static func text(_ name: String, _ column: String) -> Self {
        Self(name: name, schema: Schema.text, summary: "Only with exactly this \(name).") { text, conditions in
            conditions.add("\(column) = \(conditions.bind(.text(text)))")
            return nil
        }
    }

    package static func from(_ name: String, _ column: String) -> Self {
        time(name, column, ">=", "At this time or later.")
    }
    package static func until(_ name: String, _ column: String) -> Self { time(name, column, "<", "Before this time.") }

    private static func time(_ name: String, _ column: String, _ comparison: String, _ summary: String) -> Self {
        Self(name: name, schema: Schema.time, summary: summary) { text, conditions in
            guard let time = Timestamp(rfc3339: text) else { return "must be a time such as 2026-11-05T08:30:00Z" }
            conditions.add("\(column) \(comparison) \(SQL.time(conditions.bind(.integer(time.microseconds))))")
            return nil
        }
    }
}

/// The pairs of a query, decoded, in order.
package struct QueryValues {
    package let pairs: [(name: String, value: String)]

    package init(_ head: HTTPRequestHead) {
        pairs = head.query.split(separator: "&").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (PercentCoding.decodeForm(parts[0]), parts.count > 1 ? PercentCoding.decodeForm(parts[1]) : "")
        }
    }
}

/// One page that was asked for.
package struct PageRequest {
    package private(set) var page: Int64 = 1
    package private(set) var size: Int64 = 50
    package private(set) var order: String
    package private(set) var conditions: Conditions

    package var offset: Int64 { (page - 1) * size }

    /// Reads the query; an unknown parameter is a fault too, because a filter that is not understood would show too much.
    ///
    /// - Parameter base: conditions that always hold.
    /// - Throws: `Problem` with every fault.
    package init(_ head: HTTPRequestHead, _ rules: ListRules, where base: Conditions) throws {
        conditions = base
        order = rules.defaultSort
        var faults: [FieldFault] = []
        var seen: Set<String> = []
        for (name, value) in QueryValues(head).pairs {
            guard seen.insert(name).inserted else {
                faults.append(FieldFault(name, "stands twice"))
                continue
            }
            guard !value.utf8.contains(0) else {
                faults.append(FieldFault(name, "must not have control characters"))
                continue
            }
            if let fault = apply(name, value, rules) { faults.append(FieldFault(name, fault)) }
        }
        if !faults.isEmpty { throw Problem.invalid(faults) }
    }

    private mutating func apply(_ name: String, _ value: String, _ rules: ListRules) -> String? {
        switch name {
        case "page":
            guard let number = Int64(value), (1...1_000_000).contains(number) else {
                return "must be from 1 to 1000000"
            }
            page = number
        case "page_size":
            guard let number = Int64(value), ListRules.pageSizes.contains(number) else {
                return "must be from 1 to \(ListRules.pageSizes.upperBound)"
            }
            size = number
        case "sort":
            let isDescending = value.hasPrefix("-")
            let wanted = isDescending ? String(value.dropFirst()) : value
            guard let column = rules.sorts.first(where: { $0.key == wanted })?.value else {
                return "must be one of \(rules.sorts.map(\.key).joined(separator: ", ")), with or without a minus sign"
            }
            order = "\(column) \(isDescending ? "desc nulls last" : "asc nulls last"), \(rules.defaultSort)"
        case "q" where !rules.search.isEmpty:
            guard !value.trimmed.isEmpty else { return nil }
            let needle = conditions.bind(.text(value.trimmed))
            // strpos has no wildcards, so that % and _ in the text mean themselves.
            let terms = rules.search.map { "strpos(lower(\($0)), lower(\(needle))) > 0" }
            conditions.add("(" + terms.joined(separator: " or ") + ")")
        default:
            guard let filter = rules.filters.first(where: { $0.name == name }) else {
                return "is not a known parameter"
            }
            return filter.apply(value, &conditions)
        }
        return nil
    }

    /// Runs the two statements of a page.
    ///
    /// - Parameter source: `users u`, the tables with their aliases.
    package func fetch<Record>(
        _ columns: String,
        from source: String,
        on connection: PostgresConnection,
        _ record: (PostgresRow) throws -> Record
    ) async throws -> (records: [Record], total: Int64) {
        let total = try await connection.query(
            "select count(*) as total from \(source)\(conditions.clause)",
            conditions.parameters
        )
        var conditions = conditions
        let limit = conditions.bind(.integer(size))
        let start = conditions.bind(.integer(offset))
        let rows = try await connection.query(
            """
            select \(columns) from \(source)\(conditions.clause) order by \(order) \
            limit \(limit)::bigint offset \(start)::bigint
            """,
            conditions.parameters
        )
        return (try rows.map(record), try total.first?.int("total") ?? 0)
    }

    package func answer(_ items: [JSON], total: Int64) -> AdminAnswer {
        .ok(["items": .array(items), "total": .int(total), "page": .int(page), "page_size": .int(size)])
    }
}
