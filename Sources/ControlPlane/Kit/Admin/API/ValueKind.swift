package import Domain
package import Formats

/// What a field's value must look like: reads it from JSON, or says what is wrong, and describes itself as JSON Schema.
package struct ValueKind<Value> {
    package let schema: JSON
    /// Throws faults whose fields are relative to the value: empty for itself, `[0].name` for a part.
    package let read: (JSON) throws(ValueFaults) -> Value

    package init(_ schema: JSON, _ read: @escaping (JSON) throws(ValueFaults) -> Value) {
        self.schema = schema
        self.read = read
    }
}

package struct ValueFaults: Error {
    package let faults: [FieldFault]

    package init(_ faults: [FieldFault]) { self.faults = faults }
    package init(_ message: String) { faults = [FieldFault("", message)] }
}

extension ValueKind {
    /// The same, with null for no value.
    package var orNil: ValueKind<Value?> {
        ValueKind<Value?>(schema.nullable) { (json) throws(ValueFaults) -> Value? in
            json.isNull ? nil : try read(json)
        }
    }

    /// The same, with a further condition.
    package func checked(_ fault: @escaping (Value) -> String?) -> ValueKind {
        ValueKind(schema) { (json) throws(ValueFaults) -> Value in
            let value = try read(json)
            if let message = fault(value) { throw ValueFaults(message) }
            return value
        }
    }

    package func map<Other>(_ transform: @escaping (Value) -> Other) -> ValueKind<Other> {
        ValueKind<Other>(schema) { (json) throws(ValueFaults) -> Other in transform(try read(json)) }
    }

    package func described(_ text: String) -> ValueKind {
        var schema = schema
        schema["description"] = .string(text)
        return ValueKind(schema, read)
    }
}

// MARK: Scalars

extension ValueKind where Value == String {
    /// Text of so many characters (Unicode scalars), trimmed at both ends, without control characters.
    package static func text(_ length: ClosedRange<Int>, allowsLineBreaks: Bool = false) -> Self {
        Self([
            "type": "string", "minLength": .int(Int64(length.lowerBound)), "maxLength": .int(Int64(length.upperBound)),
        ]) {
            (json) throws(ValueFaults) -> String in
            guard let given = json.string else { throw ValueFaults("must be a text") }
            let text = given.trimmed
            guard !text.unicodeScalars.contains(where: { $0.isControl && !(allowsLineBreaks && $0 == "\n") }) else {
                throw ValueFaults("must not have control characters")
            }
            guard !text.isEmpty || length.lowerBound == 0 else { throw ValueFaults("must not be empty") }
            let count = text.unicodeScalars.count
            guard count >= length.lowerBound else {
                throw ValueFaults("must have at least \(length.lowerBound) characters")
            }
            guard count <= length.upperBound else {
                throw ValueFaults("must have at most \(length.upperBound) characters")
            }
            return text
        }
    }

    /// A secret: taken as it is, within bounds; only NUL is refused.
    package static func secret(_ length: ClosedRange<Int>) -> Self {
        Self([
            "type": "string", "minLength": .int(Int64(length.lowerBound)), "maxLength": .int(Int64(length.upperBound)),
            "writeOnly": true,
        ]) { (json) throws(ValueFaults) -> String in
            guard let text = json.string else { throw ValueFaults("must be a text") }
            guard !text.unicodeScalars.contains("\0") else { throw ValueFaults("must not have control characters") }
            guard text.unicodeScalars.count >= length.lowerBound else {
                throw ValueFaults("must have at least \(length.lowerBound) characters")
            }
            guard text.utf8.count <= length.upperBound else {
                throw ValueFaults("must have at most \(length.upperBound) characters")
            }
            return text
        }
    }
}

extension ValueKind where Value == Int64 {
    package static func integer(_ range: ClosedRange<Int64>) -> Self {
        Self(["type": "integer", "minimum": .int(range.lowerBound), "maximum": .int(range.upperBound)]) {
            (json) throws(ValueFaults) -> Int64 in
            guard let number = json.int64 else { throw ValueFaults("must be a whole number") }
            guard range.contains(number) else {
                throw ValueFaults("must be from \(range.lowerBound) to \(range.upperBound)")
            }
            return number
        }
    }

    /// The number of a row.
    package static var id: Self {
        Self(["type": "integer", "minimum": 1]) { (json) throws(ValueFaults) -> Int64 in
            guard let number = json.int64, number > 0 else { throw ValueFaults("must be an id, a whole number from 1") }
            return number
        }
    }
}

extension ValueKind where Value == Bool {
    package static var flag: Self {
        Self(["type": "boolean"]) { (json) throws(ValueFaults) -> Bool in
            guard let flag = json.bool else { throw ValueFaults("must be true or false") }
            return flag
        }
    }
}

extension ValueKind where Value: RawRepresentable, Value.RawValue == String {
    /// One of these words.
    package static func choice(_ values: [Value]) -> Self {
        Self(["type": "string", "enum": .array(values.map { .string($0.rawValue) })]) {
            (json) throws(ValueFaults) -> Value in
            guard let text = json.string, let value = values.first(where: { $0.rawValue == text }) else {
                throw ValueFaults("must be one of \(values.map(\.rawValue).joined(separator: ", "))")
            }
            return value
        }
    }
}

// MARK: Money and time

extension ValueKind where Value == NanoUSD {
    /// USD as decimal text. A whole JSON number is exact too and accepted; one with a fraction is not, because money is
    /// never a floating-point number.
    package static func money(_ range: ClosedRange<NanoUSD>) -> Self {
        Self(["type": "string", "format": "decimal", "description": "USD, at most 9 decimal places"]) {
            (json) throws(ValueFaults) -> NanoUSD in
            guard let text = json.decimalText(acceptsFractions: false) else {
                throw ValueFaults("must be a decimal number in a text, such as \"12.50\"")
            }
            guard let amount = NanoUSD(decimal: text) else {
                throw ValueFaults("must be a decimal number with at most 9 places, up to \(NanoUSD.maximum)")
            }
            guard range.contains(amount) else {
                throw ValueFaults("must be from \(range.lowerBound) to \(range.upperBound)")
            }
            return amount
        }
    }
}

extension ValueKind where Value == NanoUSD? {
    /// A limit in USD: null and 0 are no limit.
    package static var limit: Self {
        ValueKind<NanoUSD>.money(.zero ... .maximum).orNil.map { $0 == .zero ? nil : $0 }
    }
}

extension ValueKind where Value == PricePerMillion {
    package static var price: Self {
        Self(["type": "string", "format": "decimal", "description": "USD per million tokens"]) {
            (json) throws(ValueFaults) -> PricePerMillion in
            guard let text = json.decimalText(acceptsFractions: false), let price = PricePerMillion(decimal: text)
            else {
                throw ValueFaults("must be a decimal number in a text, from 0 to 1000000 with at most 9 places")
            }
            return price
        }
    }
}

extension ValueKind where Value == Multiplier {
    /// A factor; a JSON number is accepted as well, since four places survive it exactly.
    package static var multiplier: Self {
        Self(["type": "string", "format": "decimal", "description": "from 0 to 1000, at most 4 decimal places"]) {
            (json) throws(ValueFaults) -> Multiplier in
            guard let text = json.decimalText(acceptsFractions: true), let factor = Multiplier(decimal: text) else {
                throw ValueFaults("must be a decimal number from 0 to 1000 with at most 4 places")
            }
            return factor
        }
    }
}

extension ValueKind where Value == Timestamp {
    package static var time: Self {
        Self(["type": "string", "format": "date-time"]) { (json) throws(ValueFaults) -> Timestamp in
            guard let text = json.string, let time = Timestamp(rfc3339: text) else {
                throw ValueFaults("must be a time such as 2026-11-05T08:30:00Z")
            }
            return time
        }
    }
}

// MARK: Arrays and maps

extension ValueKind {
    package static func array<Element>(
        of kind: ValueKind<Element>,
        count: ClosedRange<Int>
    ) -> Self where Value == [Element] {
        Self([
            "type": "array", "items": kind.schema, "minItems": .int(Int64(count.lowerBound)),
            "maxItems": .int(Int64(count.upperBound)),
        ]) { (json) throws(ValueFaults) -> [Element] in
            guard let items = json.array else { throw ValueFaults("must be a list") }
            guard count.contains(items.count) else {
                throw ValueFaults("must have from \(count.lowerBound) to \(count.upperBound) entries")
            }
            var values: [Element] = []
            var faults: [FieldFault] = []
            for (index, item) in items.enumerated() {
                do throws(ValueFaults) {
                    values.append(try kind.read(item))
                } catch {
                    faults += error.faults.map { FieldFault("[\(index)]" + $0.field, $0.message) }
                }
            }
            if !faults.isEmpty { throw ValueFaults(faults) }
            return values
        }
    }

    /// The same without repeated entries.
    package static func set<Element: Hashable>(
        of kind: ValueKind<Element>,
        count: ClosedRange<Int>
    ) -> Self where Value == [Element] {
        var schema = array(of: kind, count: count).schema
        schema["uniqueItems"] = true
        return Self(schema, array(of: kind, count: count).read).checked { values in
            Set(values).count == values.count ? nil : "must not name an entry twice"
        }
    }

    /// An object whose keys are data: `nameFault` says what is wrong with one.
    package static func map(
        to kind: ValueKind<String>,
        count: ClosedRange<Int>,
        nameFault: @escaping (String) -> String?
    ) -> Self where Value == [String: String] {
        Self(["type": "object", "additionalProperties": kind.schema, "maxProperties": .int(Int64(count.upperBound))]) {
            (json) throws(ValueFaults) -> [String: String] in
            guard let members = json.object else { throw ValueFaults("must be an object") }
            guard count.contains(members.count) else {
                throw ValueFaults("must have at most \(count.upperBound) entries")
            }
            var values: [String: String] = [:]
            var faults: [FieldFault] = []
            for (name, value) in members {
                if let message = nameFault(name) { faults.append(FieldFault(".\(name)", message)) }
                if values[name] != nil { faults.append(FieldFault(".\(name)", "stands twice")) }
                do throws(ValueFaults) {
                    values[name] = try kind.read(value)
                } catch {
                    faults += error.faults.map { FieldFault(".\(name)" + $0.field, $0.message) }
                }
            }
            if !faults.isEmpty { throw ValueFaults(faults) }
            return values
        }
    }
}

// MARK: Parts

extension JSON {
    /// A JSON Schema that also admits null.
    package var nullable: JSON {
        var schema = self
        switch self["type"] {
        case .string(let type): schema["type"] = ["null", .string(type)]
        default: schema = ["anyOf": [self, ["type": "null"]]]
        }
        if case .array(let values)? = self["enum"] { schema["enum"] = .array(values + [.null]) }
        return schema
    }

    fileprivate func decimalText(acceptsFractions: Bool) -> String? {
        switch self {
        case .string(let text): text
        case .int(let number): String(number)
        case .double(let number) where acceptsFractions: number.description
        default: nil
        }
    }

    /// A time as it stands in answers; null for none.
    package static func time(_ time: Timestamp?) -> JSON {
        time.map { .string(RFC3339.format($0.microseconds)) } ?? .null
    }

    /// An amount as decimal text; null for none.
    package static func money(_ amount: NanoUSD?) -> JSON { amount.map { .string($0.description) } ?? .null }
}

extension Timestamp {
    package init?(rfc3339 text: String) {
        guard let microseconds = RFC3339.parse(text) else { return nil }
        self.init(microseconds: microseconds)
    }
}

extension Unicode.Scalar {
    var isControl: Bool { properties.generalCategory == .control }
}

extension String {
    /// Without white space at both ends.
    var trimmed: String {
        let scalars = unicodeScalars
        guard let first = scalars.firstIndex(where: { !$0.properties.isWhitespace }),
            let last = scalars.lastIndex(where: { !$0.properties.isWhitespace })
        else { return "" }
        return String(scalars[first...last])
    }
}
