import Formats

/// Google's `Schema`, a dialect of JSON Schema that came before it: types in capitals, `nullable`, numbers as texts.
internal enum GeminiSchema {
    /// The same in JSON Schema. What other APIs do not know (`propertyOrdering`, `example`) is left out: it does not
    /// change what is valid. The parser bounds the depth.
    static func jsonSchema(_ schema: FieldReader) -> RawJSON {
        var json = JSONWriter(capacity: 256)
        write(schema.value, schema.source, to: &json)
        return RawJSON(trusted: json.bytes)
    }

    private static func write(_ schema: JSONValue, _ source: RequestSource, to json: inout JSONWriter) {
        guard schema.isObject else { return json.raw(source.raw(schema).bytes) }
        let isNullable = schema["nullable"]?.bool == true
        json.object { json in
            for (key, value) in schema.members {
                switch key.string {
                case "nullable", "propertyOrdering", "property_ordering", "example": break
                case "type": writeType(value, isNullable, to: &json)
                case "properties":
                    json.key("properties")
                    json.object { json in
                        for (name, property) in value.members {
                            json.key(name.string)
                            write(property, source, to: &json)
                        }
                    }
                case "items":
                    json.key("items")
                    write(value, source, to: &json)
                case "anyOf", "any_of":
                    json.key("anyOf")
                    json.array { json in for option in value.elements { write(option, source, to: &json) } }
                case "minItems", "min_items": writeCount("minItems", value, to: &json)
                case "maxItems", "max_items": writeCount("maxItems", value, to: &json)
                case "minLength", "min_length": writeCount("minLength", value, to: &json)
                case "maxLength", "max_length": writeCount("maxLength", value, to: &json)
                case "minProperties", "min_properties": writeCount("minProperties", value, to: &json)
                case "maxProperties", "max_properties": writeCount("maxProperties", value, to: &json)
                // `format: enum` is Google's own word.
                case "format" where value.equals("enum"): break
                default:
                    json.key(key.string)
                    json.raw(source.raw(value).bytes)
                }
            }
        }
    }

    private static func writeType(_ value: JSONValue, _ isNullable: Bool, to json: inout JSONWriter) {
        guard let type = value.string?.lowercased(), type != "type_unspecified" else { return }
        json.key("type")
        guard isNullable else { return json.string(type) }
        json.array {
            $0.string(type)
            $0.string("null")
        }
    }

    /// 64-bit numbers are texts in Google's JSON.
    private static func writeCount(_ key: StaticString, _ value: JSONValue, to json: inout JSONWriter) {
        guard let count = value.int64 ?? value.string.flatMap({ Int64($0) }) else { return }
        json.member(key, count)
    }
}
