import Domain
import Formats

/// Reads those fields of a request's outermost object that the gateway acts on, and leaves all others alone.
///
/// A field that stands twice is refused: the gateway and the upstream could each read another one.
struct RequestFields {
    private static let maximumModelLength = 256
    /// OpenAI's bound; Google's is lower.
    private static let mostAnswers: Int64 = 128

    let body: [UInt8]
    let parser: JSONParser
    private let names: [StaticString]
    private let places: [JSONLookup]

    /// - Parameter names: the fields that will be asked for, by their numbers in this list.
    /// - Throws: `GatewayError.invalidRequest`.
    init(_ names: [StaticString], in body: [UInt8], _ parser: JSONParser) throws {
        self.body = body
        self.parser = parser
        self.names = names
        do {
            guard let places = try parser.locate(names, in: body), places.count == names.count else {
                throw Self.invalid("The request body must be a JSON object.")
            }
            self.places = places
        } catch let error as JSONError {
            throw GatewayError(.invalidRequest, "The request body is not valid JSON.", detail: "\(error)")
        }
    }

    func range(_ number: Int) throws -> Range<Int>? {
        if places[number] == .duplicate {
            throw Self.invalid("\(names[number]): stands more than once", field: "\(names[number])")
        }
        return places[number].value
    }

    /// The range of a field that is there and not null.
    func value(_ number: Int) throws -> Range<Int>? {
        guard let range = try range(number), body[range.lowerBound] != UInt8(ascii: "n") else { return nil }
        return range
    }

    /// The range of a field that nobody has to understand: what is amiss with it is for the upstream to say.
    func hint(_ number: Int) -> Range<Int>? { places[number].value }

    /// The document is known to be valid: what stands between quotes without a backslash is the text.
    func string(in range: Range<Int>) -> String? {
        guard range.count >= 2, body[range.lowerBound] == UInt8(ascii: "\"") else { return nil }
        let text = body[range.lowerBound + 1..<range.upperBound - 1]
        guard text.contains(UInt8(ascii: "\\")) else { return String(decoding: text, as: UTF8.self) }
        return (try? parser.parse(body[range]) { $0.root.string }) ?? nil
    }

    func model(_ number: Int) throws -> (name: String, range: Range<Int>) {
        guard let range = try range(number) else { throw Self.invalid("model: field required", field: "model") }
        guard let model = string(in: range) else { throw Self.invalid("model: must be a string", field: "model") }
        try Self.check(model: model)
        return (model, range)
    }

    static func check(model: String) throws {
        guard !model.isEmpty, model.utf8.count <= maximumModelLength,
            model.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f })
        else {
            throw invalid(
                "model: must be 1 to \(maximumModelLength) bytes without control characters",
                field: "model"
            )
        }
    }

    func flag(_ number: Int) throws -> Bool {
        guard let range = try value(number) else { return false }
        switch body[range.lowerBound] {
        case UInt8(ascii: "t"): return true
        case UInt8(ascii: "f"): return false
        default: throw Self.invalid("\(names[number]): must be a boolean", field: "\(names[number])")
        }
    }

    /// A whole number that is not negative; nil where there is none, or the upstream will refuse what stands there.
    func count(_ number: Int) -> Int64? {
        guard let range = try? value(number), range.count <= 19 else { return nil }
        var count: Int64 = 0
        for byte in body[range] {
            let (product, isOver) = count.multipliedReportingOverflow(by: 10)
            guard byte &- 0x30 < 10, !isOver else { return nil }
            let (sum, isOverToo) = product.addingReportingOverflow(Int64(byte &- 0x30))
            guard !isOverToo else { return nil }
            count = sum
        }
        return count
    }

    /// The tier that the call wants to be served in; whether there is such a one is for the upstream to say.
    func tier(_ number: Int) -> ServiceTier {
        hint(number).flatMap { string(in: $0) }.flatMap { ServiceTier(rawValue: $0) } ?? .standard
    }

    /// Whether there is anything but null, be it twice.
    func isGiven(_ number: Int) -> Bool {
        switch places[number] {
        case .absent: false
        case .duplicate: true
        case .found(let place): body[place.value.lowerBound] != UInt8(ascii: "n")
        }
    }

    /// How many answers are asked for: as many as there can be where that is written in some other way than as a whole
    /// number, which an upstream may understand.
    func answers(_ number: Int) -> Int64 { isGiven(number) ? Self.answers(count(number)) : 1 }

    /// - Parameter count: nil where it could not be read.
    static func answers(_ count: Int64?) -> Int64 { min(max(1, count ?? mostAnswers), mostAnswers) }

    func requireArray(_ number: Int) throws {
        guard let range = try range(number) else {
            throw Self.invalid("\(names[number]): field required", field: "\(names[number])")
        }
        guard body[range.lowerBound] == UInt8(ascii: "[") else {
            throw Self.invalid("\(names[number]): must be an array", field: "\(names[number])")
        }
    }

    static func invalid(_ message: String, field: String? = nil) -> GatewayError {
        GatewayError(.invalidRequest, message, field: field)
    }
}
