package import Domain
package import Formats

/// Reads those fields of a request's outermost object that the gateway acts on, and leaves all others alone.
///
/// A field that stands twice is refused: the gateway and the upstream could each read another one.
package struct RequestFields {
    static let maximumModelLength = 256
    /// OpenAI's bound; Google's is lower.
    private static let mostAnswers: Int64 = 128

    private let root: JSONSourceValue

    /// - Throws: `GatewayError.invalidRequest` for what is no object.
    init(_ request: JSONOutline) throws {
        root = request.root
        guard root.isObject else { throw Self.invalid("The request body must be a JSON object.") }
    }

    /// A field that is there.
    func field(_ name: StaticString) throws -> JSONSourceValue? {
        switch root.uniqueMember(name) {
        case .absent: return nil
        case .found(let value): return value
        case .duplicate: throw Self.invalid("\(name): stands more than once", field: "\(name)")
        }
    }

    /// A field that is there and not null.
    func value(_ name: StaticString) throws -> JSONSourceValue? {
        guard let value = try field(name), !value.isNull else { return nil }
        return value
    }

    /// A field that nobody has to understand: what is amiss with it is for the upstream to say.
    private func hint(_ name: StaticString) -> JSONSourceValue? { root.uniqueMember(name).value }

    func model() throws -> (name: String, range: Range<Int>) {
        guard let value = try field("model") else { throw Self.invalid("model: field required", field: "model") }
        guard let model = value.string else { throw Self.invalid("model: must be a string", field: "model") }
        try Self.check(model: model)
        return (model, value.range)
    }

    static func check(model: String) throws {
        var text = model
        let isPlain = text.withUTF8 { text in text.allSatisfy { $0 >= 0x20 && $0 != 0x7f } }
        guard isPlain, (1...maximumModelLength).contains(model.utf8.count) else {
            throw invalid(
                "model: must be 1 to \(maximumModelLength) bytes without control characters",
                field: "model"
            )
        }
    }

    func flag(_ name: StaticString) throws -> Bool {
        guard let value = try value(name) else { return false }
        guard let flag = value.bool else { throw Self.invalid("\(name): must be a boolean", field: "\(name)") }
        return flag
    }

    /// A whole number that is not negative; nil where there is none, or the upstream will refuse what stands there.
    func count(_ name: StaticString) -> Int64? {
        guard let count = hint(name)?.int64, count >= 0 else { return nil }
        return count
    }

    /// The tier that the call wants to be served in; whether there is such a one is for the upstream to say. It must not
    /// stand there twice, cheap for us and dear for the upstream.
    func tier(_ name: StaticString) throws -> ServiceTier {
        try field(name)?.string.map { ServiceTier(serviceTier: $0) } ?? .standard
    }

    /// Whether this text stands there, once.
    func isWord(_ name: StaticString, _ word: StaticString) throws -> Bool { try field(name)?.equals(word) ?? false }

    /// Whether there is anything but null, be it twice.
    func isGiven(_ name: StaticString) -> Bool {
        switch root.uniqueMember(name) {
        case .absent: false
        case .duplicate: true
        case .found(let value): !value.isNull
        }
    }

    /// How many answers are asked for: as many as there can be where that is written in some other way than as a whole
    /// number, which an upstream may understand.
    func answers(_ name: StaticString) -> Int64 { isGiven(name) ? Self.answers(count(name)) : 1 }

    /// - Parameter count: nil where it could not be read.
    static func answers(_ count: Int64?) -> Int64 { min(max(1, count ?? mostAnswers), mostAnswers) }

    func requireArray(_ name: StaticString) throws {
        guard let value = try field(name) else { throw Self.invalid("\(name): field required", field: "\(name)") }
        guard value.isArray else { throw Self.invalid("\(name): must be an array", field: "\(name)") }
    }

    /// A request that is no JSON.
    package static func refusal(of error: JSONError) -> GatewayError {
        GatewayError(.invalidRequest, "The request body is not valid JSON.", detail: "\(error)")
    }

    static func invalid(_ message: String, field: String? = nil) -> GatewayError {
        GatewayError(.invalidRequest, message, field: field)
    }
}
