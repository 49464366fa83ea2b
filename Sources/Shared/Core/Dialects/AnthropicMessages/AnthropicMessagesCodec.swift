package import Domain
package import Formats

/// The Messages API of Anthropic, as callers speak it and as upstreams do.
package enum AnthropicMessagesCodec: DialectCodec {
    package static let dialect = Dialect.anthropic

    package static func decodeRequest(_ document: JSONDocument, _ envelope: RequestEnvelope, _ parser: JSONParser)
        throws -> NeutralRequest
    {
        try AnthropicRequestDecoder(document, parser).decode()
    }

    package static func encodeRequest(_ request: NeutralRequest, _ parser: JSONParser) throws -> [UInt8] {
        try AnthropicRequestEncoder(request, parser).encode()
    }

    package static func name(of field: NeutralField) -> String {
        switch field {
        case .model: "model"
        case .system: "system"
        case .messages: "messages"
        case .tools, .serverTools: "tools"
        case .toolChoice: "tool_choice"
        case .parallelTools: "tool_choice.disable_parallel_tool_use"
        case .maxTokens: "max_tokens"
        case .temperature: "temperature"
        case .topP: "top_p"
        case .topK: "top_k"
        case .stopSequences: "stop_sequences"
        case .responseFormat: "output_config.format"
        case .reasoning: "thinking"
        case .user: "metadata.user_id"
        case .frequencyPenalty, .presencePenalty, .seed: field.rawValue
        }
    }

    package static func decodeAnswer(_ document: JSONDocument, into sink: any NeutralSink) {
        AnthropicAnswerDecoder.decode(document, into: sink)
    }

    package static func encodeAnswer(_ answer: NeutralAnswer, _ context: AnswerContext) -> [UInt8] {
        AnthropicAnswerEncoder.encode(answer, context)
    }

    package static func makeStreamDecoder() -> any StreamDecoder { AnthropicStreamDecoder() }

    package static func makeStreamEncoder(_ context: AnswerContext) -> any StreamEncoder {
        AnthropicStreamEncoder(context)
    }

    package static func decodeError(_ document: JSONDocument, status: Int) -> NeutralError? {
        guard let object = document.root["error"], object.isObject else { return nil }
        return error(object, status: status)
    }

    package static func encodeError(_ error: NeutralError, status: Int, requestID: String) -> [UInt8] {
        var json = JSONWriter(capacity: 160 + error.message.utf8.count)
        write(error, requestID: requestID, to: &json)
        return json.bytes
    }

    /// `{"type":"error","error":{"type","message"},"request_id"}`, as a body and as the data of an event.
    internal static func write(_ error: NeutralError, requestID: String, to json: inout JSONWriter) {
        json.object { json in
            json.member("type", "error")
            json.key("error")
            json.object {
                $0.member("type", name(of: error.kind))
                $0.member("message", error.message)
            }
            json.member("request_id", requestID)
        }
    }

    private static func name(of kind: NeutralError.Kind) -> String {
        switch kind {
        case .invalidRequest: "invalid_request_error"
        case .authentication: "authentication_error"
        case .billing: "billing_error"
        case .permission: "permission_error"
        case .notFound: "not_found_error"
        case .tooLarge: "request_too_large"
        case .rateLimited: "rate_limit_error"
        case .timeout: "timeout_error"
        case .overloaded: "overloaded_error"
        case .upstream: "api_error"
        }
    }

    /// The object `error` of an error body or event.
    internal static func error(_ object: JSONValue?, status: Int?) -> NeutralError {
        let message = object?["message"]?.string ?? "The upstream reported an error."
        let kind: NeutralError.Kind =
            switch object?["type"]?.string {
            case "invalid_request_error": .invalidRequest
            case "authentication_error": .authentication
            case "billing_error": .billing
            case "permission_error": .permission
            case "not_found_error": .notFound
            case "request_too_large": .tooLarge
            case "rate_limit_error": .rateLimited
            case "timeout_error": .timeout
            case "overloaded_error": .overloaded
            default: status.map(NeutralError.kind(ofStatus:)) ?? .upstream
            }
        return NeutralError(kind, message)
    }
}
