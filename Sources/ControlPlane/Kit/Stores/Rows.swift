package import Domain
package import Formats
package import Postgres

// How rows meet the domain's nouns. Times travel as whole microseconds, so that no session setting or text format of
// the server can change them; JSON columns as text.

extension PostgresRow {
    /// A column selected with `SQL.microseconds`.
    package func time(_ column: String) throws -> Timestamp { Timestamp(microseconds: try int(column)) }
    package func optionalTime(_ column: String) throws -> Timestamp? {
        try optionalInt(column).map { Timestamp(microseconds: $0) }
    }
    package func money(_ column: String) throws -> NanoUSD { NanoUSD(try int(column)) }
    package func optionalMoney(_ column: String) throws -> NanoUSD? { try optionalInt(column).map { NanoUSD($0) } }
    package func multiplier(_ column: String) throws -> Multiplier { Multiplier(try int(column)) }

    package func choice<Choice: RawRepresentable>(_ column: String) throws -> Choice where Choice.RawValue == String {
        guard let choice = Choice(rawValue: try text(column)) else { throw PostgresError.decoding(column: column) }
        return choice
    }

    package func json(_ column: String) throws -> JSON {
        guard let value = try? JSON(text: try text(column)) else { throw PostgresError.decoding(column: column) }
        return value
    }

    package func texts(_ column: String) throws -> [String] {
        try json(column).array?.compactMap(\.string) ?? []
    }

    package func textMap(_ column: String) throws -> [String: String] {
        let members = try json(column).object ?? []
        return Dictionary(members.compactMap { member in member.value.string.map { (member.key, $0) } }) { $1 }
    }
}

extension PostgresParameter {
    package static func optional(_ time: Timestamp?) -> Self { .optional(time?.microseconds) }
    package static func optional(_ amount: NanoUSD?) -> Self { .optional(amount?.raw) }
    package static func json(_ value: JSON) -> Self { .text(value.text) }
    package static func json(_ texts: [String]) -> Self { .json(.array(texts.map { .string($0) })) }
    package static func json(_ map: [String: String]) -> Self {
        .json(.object(map.sorted { $0.key < $1.key }.map { (key: $0.key, value: .string($0.value)) }))
    }
    /// A `bigint[]`.
    package static func integers(_ values: [Int64]) -> Self {
        .text("{" + values.map { String($0) }.joined(separator: ",") + "}")
    }
}

/// Pieces of statements.
package enum SQL {
    /// Reads a `timestamptz` as microseconds since 1970.
    package static func microseconds(_ expression: String, as name: String) -> String {
        "(extract(epoch from \(expression)) * 1000000)::bigint as \(name)"
    }

    /// A `timestamptz` from a parameter in microseconds since 1970; null stays null.
    package static func time(_ parameter: String) -> String {
        "(timestamptz 'epoch' + \(parameter)::bigint * interval '1 microsecond')"
    }
}

/// A `where` clause and its parameters while they are put together. Only constants of this program become SQL text;
/// whatever came from outside is a parameter.
package struct Conditions {
    package private(set) var parameters: [PostgresParameter] = []
    private var terms: [String] = []

    package init(_ first: String? = nil) {
        if let first { terms.append(first) }
    }

    /// Adds a parameter and returns its placeholder.
    package mutating func bind(_ parameter: PostgresParameter) -> String {
        parameters.append(parameter)
        return "$\(parameters.count)"
    }

    package mutating func add(_ term: String) { terms.append(term) }

    package var clause: String { terms.isEmpty ? "" : " where " + terms.joined(separator: " and ") }
}

/// The numbers of our advisory locks in Postgres.
package enum AdvisoryLock {
    private static let base: Int64 = 0x7467_0000
    package static let migrations = base + 1
    /// Held by every transaction that draws a revision, until it ends.
    package static let changes = base + 2
    package static let partitions = base + 3
    package static let reconciler = base + 0x60
}
