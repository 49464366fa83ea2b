package import Domain
package import Formats

/// The Gemini API (`generateContent`, `streamGenerateContent`), as callers speak it and as upstreams do.
package enum GeminiCodec: DialectCodec {
    package static let dialect = Dialect.gemini

    package static func decodeRequest(_ document: JSONDocument, _ envelope: RequestEnvelope, _ parser: JSONParser)
        throws -> NeutralRequest
    {
        try GeminiRequestDecoder(document, envelope, parser).decode()
    }

    package static func encodeRequest(_ request: NeutralRequest, _ parser: JSONParser) throws -> [UInt8] {
        try GeminiRequestEncoder(request, parser).encode()
    }

    package static func name(of field: NeutralField) -> String {
        switch field {
        case .model: "model"
        case .system: "systemInstruction"
        case .messages: "contents"
        case .tools, .serverTools: "tools"
        case .toolChoice, .parallelTools: "toolConfig.functionCallingConfig"
        case .maxTokens: "generationConfig.maxOutputTokens"
        case .temperature: "generationConfig.temperature"
        case .topP: "generationConfig.topP"
        case .topK: "generationConfig.topK"
        case .stopSequences: "generationConfig.stopSequences"
        case .frequencyPenalty: "generationConfig.frequencyPenalty"
        case .presencePenalty: "generationConfig.presencePenalty"
        case .seed: "generationConfig.seed"
        case .responseFormat: "generationConfig.responseJsonSchema"
        case .reasoning: "generationConfig.thinkingConfig"
        case .user: "labels"
        }
    }

    /// It takes five.
    package static let honoursStopSequences = false

    package static func decodeAnswer(_ document: JSONDocument, into sink: any NeutralSink) {
        let decoder = GeminiAnswerDecoder()
        // A stream that was not asked for as events comes as one array.
        if document.root.isArray {
            for chunk in document.root.elements { decoder.receive(chunk, of: document, into: sink) }
        } else {
            decoder.receive(document.root, of: document, into: sink)
        }
        decoder.finish(into: sink)
    }

    package static func encodeAnswer(_ answer: NeutralAnswer, _ context: AnswerContext) -> [UInt8] {
        GeminiAnswerEncoder.encode(answer, context)
    }

    package static func makeStreamDecoder() -> any StreamDecoder { GeminiAnswerDecoder() }

    package static func makeStreamEncoder(_ context: AnswerContext) -> any StreamEncoder {
        GeminiStreamEncoder(context)
    }

    package static func decodeError(_ document: JSONDocument, status: Int) -> NeutralError? {
        GeminiErrorText.error(document.root, status: status)
    }

    package static func encodeError(_ error: NeutralError, status: Int, requestID: String) -> [UInt8] {
        GeminiErrorText.body(error, status: status)
    }
}
