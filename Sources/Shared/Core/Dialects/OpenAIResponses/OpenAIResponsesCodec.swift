package import Domain
package import Formats

/// The Responses API of OpenAI, as callers speak it and as upstreams do.
package enum OpenAIResponsesCodec: DialectCodec {
    package static let dialect = Dialect.openaiResponses

    package static func decodeRequest(_ document: JSONDocument, _ envelope: RequestEnvelope, _ parser: JSONParser)
        throws -> NeutralRequest
    {
        try ResponsesRequestDecoder(document, parser).decode()
    }

    package static func encodeRequest(_ request: NeutralRequest, _ parser: JSONParser) throws -> [UInt8] {
        try ResponsesRequestEncoder(request).encode()
    }

    package static func name(of field: NeutralField) -> String {
        switch field {
        case .model: "model"
        case .system: "instructions"
        case .messages: "input"
        case .tools, .serverTools: "tools"
        case .toolChoice: "tool_choice"
        case .parallelTools: "parallel_tool_calls"
        case .maxTokens: "max_output_tokens"
        case .temperature: "temperature"
        case .topP: "top_p"
        case .responseFormat: "text.format"
        case .reasoning: "reasoning"
        case .user: "user"
        case .topK, .stopSequences, .frequencyPenalty, .presencePenalty, .seed: field.rawValue
        }
    }

    /// The API has none.
    package static let honoursStopSequences = false

    package static func decodeAnswer(_ document: JSONDocument, into sink: any NeutralSink) {
        ResponsesAnswerDecoder.decode(document, into: sink)
    }

    package static func encodeAnswer(_ answer: NeutralAnswer, _ context: AnswerContext) -> [UInt8] {
        ResponsesAnswerEncoder.encode(answer, context)
    }

    package static func makeStreamDecoder() -> any StreamDecoder { ResponsesStreamDecoder() }

    package static func makeStreamEncoder(_ context: AnswerContext) -> any StreamEncoder {
        ResponsesStreamEncoder(context)
    }

    package static func decodeError(_ document: JSONDocument, status: Int) -> NeutralError? {
        OpenAIChatCodec.decodeError(document, status: status)
    }

    package static func encodeError(_ error: NeutralError, status: Int, requestID: String) -> [UInt8] {
        OpenAIChatCodec.encodeError(error, status: status, requestID: requestID)
    }
}
