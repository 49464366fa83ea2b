import Formats

/// Makes up a value that satisfies a JSON Schema, always the same one.
enum JSONSample {
    private static let mostDepth = 12
    /// A schema can ask for exponentially many values; a sample stops growing here.
    private static let mostBytes = 16 * 1024

    static func value(of schema: JSONValue) -> [UInt8] {
        var text = JSONWriter()
        write(schema, named: "value", depth: 0, to: &text)
        return text.bytes
    }

    private static func write(_ schema: JSONValue, named name: String, depth: Int, to text: inout JSONWriter) {
        if let constant = schema["const"]?.string { return text.string(constant) }
        if let options = schema["enum"]?.elements, let first = Array(options.prefix(1)).first {
            return write(literal: first, to: &text)
        }
        if let first = (schema["anyOf"] ?? schema["oneOf"])?.elements.first(where: { _ in true }), depth < mostDepth {
            return write(first, named: name, depth: depth + 1, to: &text)
        }
        switch type(of: schema) {
        case "object":
            text.object { text in
                guard depth < mostDepth, let properties = schema["properties"] else { return }
                for (key, property) in properties.members where text.bytes.count < mostBytes {
                    let key = key.string
                    text.key(key)
                    write(property, named: key, depth: depth + 1, to: &text)
                }
            }
        case "array":
            text.array { text in
                guard depth < mostDepth, let items = schema["items"], text.bytes.count < mostBytes else { return }
                write(items, named: name, depth: depth + 1, to: &text)
            }
        case "integer": text.int(7)
        case "number": text.double(1.5)
        case "boolean": text.bool(true)
        case "null": text.null()
        default: text.string("sim \(name)")
        }
    }

    /// The schema's type, in small letters (Google writes it in capitals); the first one of several.
    private static func type(of schema: JSONValue) -> String {
        guard let type = schema["type"] else { return schema["properties"] == nil ? "string" : "object" }
        return (type.string ?? type.elements.first { _ in true }?.string ?? "string").lowercased()
    }

    private static func write(literal value: JSONValue, to text: inout JSONWriter) {
        if let string = value.string {
            text.string(string)
        } else if let number = value.int64 {
            text.int(number)
        } else if let flag = value.bool {
            text.bool(flag)
        } else {
            text.null()
        }
    }
}
