package import Formats

/// The fields that a request may give: one table that reads them, finds every fault at once, and describes them.
///
/// A draft is what a resource's fields are together. Creation starts from an empty draft, a merge patch (RFC 7386) from
/// the row as it is; only the fields given are touched, and null puts a field back to its default.
package struct Form<Draft> {
    package enum Purpose: Sendable { case create, patch }

    package struct Field {
        let name: String
        let schema: JSON
        /// Must be given on creation and can never be null.
        let isRequired: Bool
        let put: (JSON, inout Draft) throws(ValueFaults) -> Void
        let reset: ((inout Draft) -> Void)?

        package static func required<Value>(
            _ name: String,
            _ path: WritableKeyPath<Draft, Value>,
            _ kind: ValueKind<Value>
        ) -> Field {
            Field(
                name: name,
                schema: kind.schema,
                isRequired: true,
                put: { (json, draft) throws(ValueFaults) in draft[keyPath: path] = try kind.read(json) },
                reset: nil
            )
        }

        package static func optional<Value>(
            _ name: String,
            _ path: WritableKeyPath<Draft, Value>,
            _ kind: ValueKind<Value>,
            default fallback: Value
        ) -> Field {
            Field(
                name: name,
                schema: kind.schema,
                isRequired: false,
                put: { (json, draft) throws(ValueFaults) in draft[keyPath: path] = try kind.read(json) },
                reset: { $0[keyPath: path] = fallback }
            )
        }
    }

    package let fields: [Field]
    /// Fields of the answer that cannot be written; giving one is a fault that says so.
    package let readOnly: [String]

    package init(_ fields: [Field], readOnly: [String] = []) {
        self.fields = fields
        self.readOnly = readOnly
    }

    /// Puts what the body gives into the draft and returns every fault.
    package func fill(_ draft: inout Draft, from body: JSON, for purpose: Purpose) -> [FieldFault] {
        guard let members = body.object else { return [FieldFault("", "must be an object")] }
        var faults: [FieldFault] = []
        var seen: Set<String> = []
        for (name, value) in members {
            guard let field = fields.first(where: { $0.name == name }) else {
                faults.append(FieldFault(name, readOnly.contains(name) ? "is read-only" : "is not a known field"))
                continue
            }
            guard seen.insert(name).inserted else {
                faults.append(FieldFault(name, "stands twice"))
                continue
            }
            if value.isNull {
                if let reset = field.reset {
                    reset(&draft)
                } else {
                    faults.append(FieldFault(name, "must not be null"))
                }
                continue
            }
            do throws(ValueFaults) {
                try field.put(value, &draft)
            } catch {
                faults += error.faults.map { FieldFault(name + $0.field, $0.message) }
            }
        }
        if purpose == .create {
            for field in fields where field.isRequired && !seen.contains(field.name) {
                faults.append(FieldFault(field.name, "is required"))
            }
        }
        return faults
    }

    /// The form as JSON Schema.
    package func schema(for purpose: Purpose) -> JSON {
        let required = fields.filter { $0.isRequired && purpose == .create }.map { JSON.string($0.name) }
        var schema: JSON = [
            "type": "object",
            "properties": .object(
                fields.map { (key: $0.name, value: $0.reset == nil ? $0.schema : $0.schema.nullableOnce) }
            ),
            "additionalProperties": false,
        ]
        if !required.isEmpty { schema["required"] = .array(required) }
        return schema
    }
}

extension ValueKind {
    /// An object inside a form, read whole by a form of its own.
    package static func object(
        _ form: Form<Value>,
        from empty: Value,
        check: @escaping (Value) -> [FieldFault] = { _ in [] }
    )
        -> Self
    {
        Self(form.schema(for: .create)) { (json) throws(ValueFaults) -> Value in
            guard json.object != nil else { throw ValueFaults("must be an object") }
            var value = empty
            var faults = form.fill(&value, from: json, for: .create)
            if faults.isEmpty { faults = check(value) }
            if !faults.isEmpty { throw ValueFaults(faults.map { FieldFault("." + $0.field, $0.message) }) }
            return value
        }
    }
}

extension JSON {
    fileprivate var nullableOnce: JSON {
        if case .array(let types)? = self["type"], types.contains(.string("null")) { return self }
        if self["anyOf"] != nil { return self }
        return nullable
    }
}
