package import Domain
package import Formats

/// Requests of the Anthropic Messages API, as far as a gateway must understand them: the rest passes through.
package enum AnthropicRequest {
    private static let maximumModelLength = 256

    /// Reads what policy needs from a body for `/v1/messages` or `/v1/messages/count_tokens`.
    ///
    /// - Throws: `GatewayError.invalidRequest`, naming the field at fault.
    package static func summary(of body: [UInt8], _ parser: JSONParser) throws -> CallSummary {
        let found: [JSONLookup]?
        do {
            found = try parser.locate(["model", "stream", "messages"], in: body)
        } catch let error as JSONError {
            throw GatewayError(.invalidRequest, "The request body is not valid JSON.", detail: "\(error)")
        }
        guard let found, found.count == 3 else { throw invalid("The request body must be a JSON object.") }
        guard let modelRange = try range(of: "model", found[0]) else {
            throw invalid("model: field required", field: "model")
        }
        guard let model = try? parser.parse(body[modelRange], { $0.root.string }) else {
            throw invalid("model: must be a string", field: "model")
        }
        guard !model.isEmpty, model.utf8.count <= maximumModelLength,
            model.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f })
        else {
            throw invalid(
                "model: must be 1 to \(maximumModelLength) bytes without control characters",
                field: "model"
            )
        }
        var isStream = false
        if let place = try range(of: "stream", found[1]) {
            switch body[place].first {
            case UInt8(ascii: "t"): isStream = true
            case UInt8(ascii: "f"), UInt8(ascii: "n"): break
            default: throw invalid("stream: must be a boolean", field: "stream")
            }
        }
        guard let messages = try range(of: "messages", found[2]) else {
            throw invalid("messages: field required", field: "messages")
        }
        guard body[messages].first == UInt8(ascii: "[") else {
            throw invalid("messages: must be an array", field: "messages")
        }
        return CallSummary(model: model, isStream: isStream, modelRange: modelRange)
    }

    /// A field that stands twice is refused: the gateway and the upstream could each read another one.
    private static func range(of field: String, _ found: JSONLookup) throws -> Range<Int>? {
        if found == .duplicate { throw invalid("\(field): stands more than once", field: field) }
        return found.value
    }

    private static func invalid(_ message: String, field: String? = nil) -> GatewayError {
        GatewayError(.invalidRequest, message, field: field)
    }
}
