package import Domain
package import Formats

/// Requests of the Anthropic Messages API, as far as a gateway must understand them: the rest passes through.
package enum AnthropicRequest {
    private static let maximumModelLength = 256

    /// Reads what policy needs from a body for `/v1/messages` or `/v1/messages/count_tokens`.
    ///
    /// - Throws: `GatewayError.invalidRequest`, naming the field at fault.
    package static func summary(of body: [UInt8], _ parser: JSONParser) throws -> CallSummary {
        do {
            return try parser.parse(body) { document in try summary(of: document) }
        } catch let error as JSONError {
            throw GatewayError(.invalidRequest, "The request body is not valid JSON.", detail: "\(error)")
        }
    }

    private static func summary(of document: JSONDocument) throws -> CallSummary {
        let root = document.root
        guard root.isObject else { throw invalid("The request body must be a JSON object.") }
        let modelRange = try range(of: "model", in: document, isRequired: true)
        guard let model = root["model"]?.string else { throw invalid("model: must be a string", field: "model") }
        guard !model.isEmpty, model.utf8.count <= maximumModelLength,
            model.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f })
        else {
            throw invalid(
                "model: must be 1 to \(maximumModelLength) bytes without control characters",
                field: "model"
            )
        }
        var isStream = false
        if try range(of: "stream", in: document, isRequired: false) != nil, let value = root["stream"], !value.isNull {
            guard let flag = value.bool else { throw invalid("stream: must be a boolean", field: "stream") }
            isStream = flag
        }
        _ = try range(of: "messages", in: document, isRequired: true)
        guard root["messages"]?.isArray == true else {
            throw invalid("messages: must be an array", field: "messages")
        }
        return CallSummary(model: model, isStream: isStream, modelRange: modelRange ?? 0..<0)
    }

    /// A field that stands twice is refused: the gateway and the upstream could each read another one.
    private static func range(
        of field: StaticString,
        in document: JSONDocument,
        isRequired: Bool
    ) throws -> Range<Int>? {
        switch document.locateTopLevel(field) {
        case .found(let location): return location.value
        case .duplicate: throw invalid("\(field): stands more than once", field: "\(field)")
        case .absent:
            guard isRequired else { return nil }
            throw invalid("\(field): field required", field: "\(field)")
        }
    }

    private static func invalid(_ message: String, field: String? = nil) -> GatewayError {
        GatewayError(.invalidRequest, message, field: field)
    }
}
