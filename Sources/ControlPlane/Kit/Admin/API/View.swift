package import Formats

/// How a resource stands in answers: one table that writes it and describes it.
package struct View<Record> {
    package struct Field {
        let name: String
        let schema: JSON
        let value: (Record) -> JSON

        package init(_ name: String, _ schema: JSON, _ value: @escaping (Record) -> JSON) {
            self.name = name
            self.schema = schema
            self.value = value
        }
    }

    package let fields: [Field]

    package init(_ fields: [Field]) { self.fields = fields }

    package func json(_ record: Record) -> JSON {
        .object(fields.map { (key: $0.name, value: $0.value(record)) })
    }

    package var schema: JSON {
        [
            "type": "object", "properties": .object(fields.map { (key: $0.name, value: $0.schema) }),
            "required": .array(fields.map { .string($0.name) }),
        ]
    }

    package var names: [String] { fields.map(\.name) }
}

/// The usual JSON Schemas of answers.
package enum Schema {
    package static let id: JSON = ["type": "integer", "format": "int64"]
    package static let integer: JSON = ["type": "integer"]
    package static let text: JSON = ["type": "string"]
    package static let flag: JSON = ["type": "boolean"]
    package static let money: JSON = ["type": "string", "format": "decimal", "description": "USD"]
    package static let multiplier: JSON = ["type": "string", "format": "decimal"]
    package static let time: JSON = ["type": "string", "format": "date-time"]
    package static let object: JSON = ["type": "object"]
    package static let null: JSON = ["type": "null"]

    package static func choice(_ words: [String]) -> JSON {
        ["type": "string", "enum": .array(words.map { .string($0) })]
    }
    package static func array(of items: JSON) -> JSON { ["type": "array", "items": items] }

    /// `{items, total, page, page_size}`.
    package static func page(of item: JSON) -> JSON {
        [
            "type": "object",
            "properties": ["items": array(of: item), "total": integer, "page": integer, "page_size": integer],
            "required": ["items", "total", "page", "page_size"],
        ]
    }

    /// `{items, next_cursor}`.
    package static func keyset(of item: JSON) -> JSON {
        [
            "type": "object", "properties": ["items": array(of: item), "next_cursor": text.nullable],
            "required": ["items", "next_cursor"],
        ]
    }
}
