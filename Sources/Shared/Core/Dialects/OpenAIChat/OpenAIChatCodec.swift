package import Domain
package import Formats

/// Chat Completions of OpenAI, as callers speak it and as upstreams do.
package enum OpenAIChatCodec: DialectCodec {
    package static let dialect = Dialect.openaiChat

    package static func decodeRequest(_ document: JSONDocument, _ envelope: RequestEnvelope, _ parser: JSONParser)
        throws -> NeutralRequest
    {
        try ChatRequestDecoder(document, parser).decode()
    }

    package static func encodeRequest(_ request: NeutralRequest, _ parser: JSONParser) throws -> [UInt8] {
        try ChatRequestEncoder(request).encode()
    }

    package static func name(of field: NeutralField) -> String {
        switch field {
        case .model: "model"
        case .system, .messages: "messages"
        case .tools: "tools"
        case .serverTools: "web_search_options"
        case .toolChoice: "tool_choice"
        case .parallelTools: "parallel_tool_calls"
        case .maxTokens: "max_completion_tokens"
        case .temperature: "temperature"
        case .topP: "top_p"
        case .topK: "top_k"
        case .stopSequences: "stop"
        case .frequencyPenalty: "frequency_penalty"
        case .presencePenalty: "presence_penalty"
        case .seed: "seed"
        case .responseFormat: "response_format"
        case .reasoning: "reasoning_effort"
        case .user: "user"
        }
    }

    /// Chat takes four, and none with the models that think.
    package static let honoursStopSequences = false

    package static func decodeAnswer(_ document: JSONDocument, into sink: any NeutralSink) {
        ChatAnswerDecoder.decode(document, into: sink)
    }

    package static func encodeAnswer(_ answer: NeutralAnswer, _ context: AnswerContext) -> [UInt8] {
        ChatAnswerEncoder.encode(answer, context)
    }

    package static func makeStreamDecoder() -> any StreamDecoder { ChatStreamDecoder() }

    package static func makeStreamEncoder(_ context: AnswerContext) -> any StreamEncoder { ChatStreamEncoder(context) }

    package static func decodeError(_ document: JSONDocument, status: Int) -> NeutralError? {
        guard let error = document.root["error"], !error.isNull else { return nil }
        return OpenAIErrorText.error(error, status: status)
    }

    package static func encodeError(_ error: NeutralError, status: Int, requestID: String) -> [UInt8] {
        var json = JSONWriter(capacity: 160 + error.message.utf8.count)
        OpenAIErrorText.write(error, to: &json)
        return json.bytes
    }
}
