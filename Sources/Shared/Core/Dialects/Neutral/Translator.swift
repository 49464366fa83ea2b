package import Domain
package import Formats

/// Every dialect there is.
package enum DialectRegistry {
    package static let codecs: [any DialectCodec.Type] = [
        AnthropicMessagesCodec.self, OpenAIChatCodec.self, OpenAIResponsesCodec.self, GeminiCodec.self,
    ]

    package static func codec(of dialect: Dialect) -> (any DialectCodec.Type)? {
        codecs.first { $0.dialect == dialect }
    }
}

/// Carries calls from a caller's dialect to an upstream's, and the answers back.
///
/// Made for pairs of different dialects: where both are the same, bytes pass through and nothing here is asked.
package struct Translator: Sendable {
    private let caller: any DialectCodec.Type
    private let upstream: any DialectCodec.Type

    /// Nil when one of the dialects has no codec.
    package init?(caller: Dialect, upstream: Dialect) {
        guard let caller = DialectRegistry.codec(of: caller), let upstream = DialectRegistry.codec(of: upstream) else {
            return nil
        }
        self.caller = caller
        self.upstream = upstream
    }

    /// Reads a caller's body. The relay then sets the account's model name, and whether the upstream shall stream.
    /// - Throws: `GatewayError.invalidRequest`, naming the field.
    package func request(from body: [UInt8], _ envelope: RequestEnvelope, _ parser: JSONParser) throws
        -> NeutralRequest
    {
        try callersFaults {
            // The decoders parse argument texts while they hold the document.
            let inner = JSONParser()
            var request = try parser.parse(body) { try caller.decodeRequest($0, envelope, inner) }
            if !upstream.honoursStopSequences {
                let bytes = request.stopSequences.reduce(0) { $0 + $1.utf8.count }
                guard bytes <= StopSequences.maximumBytes else {
                    throw TranslationFault(.stopSequences, "may have \(StopSequences.maximumBytes) bytes in all")
                }
                request.answer.stopSequences = request.stopSequences
            }
            return request
        }
    }

    /// Writes the upstream's body.
    /// - Throws: `GatewayError.invalidRequest`, naming the caller's field that the upstream cannot express.
    package func upstreamBody(for request: NeutralRequest, _ parser: JSONParser) throws -> [UInt8] {
        try callersFaults { try upstream.encodeRequest(request, parser) }
    }

    /// Reads an upstream's whole answer.
    /// - Throws: `NeutralError`: what the upstream says, or that its bytes are no answer.
    package func answer(from body: [UInt8], _ parser: JSONParser) throws -> NeutralAnswer {
        let fold = NeutralFold()
        do {
            try parser.parse(body) { upstream.decodeAnswer($0, into: fold) }
        } catch {
            throw NeutralError(.upstream, "The upstream's answer is not valid JSON.")
        }
        if let error = fold.error { throw error }
        guard fold.hasEnded else { throw NeutralError(.upstream, "The upstream's answer is incomplete.") }
        return fold.answer
    }

    /// Writes the caller's whole answer.
    package func callerBody(for answer: NeutralAnswer, _ context: AnswerContext) -> [UInt8] {
        let stops = context.options.stopSequences
        return caller.encodeAnswer(stops.isEmpty ? answer : StopSequences.cut(answer, at: stops), context)
    }

    package func stream(_ context: AnswerContext) -> StreamTranslator {
        let encoder = caller.makeStreamEncoder(context)
        let stops = context.options.stopSequences
        return StreamTranslator(
            from: upstream.makeStreamDecoder(),
            to: stops.isEmpty ? encoder : StopSequenceEncoder(encoder, stops),
            hiding: context.hiddenHosts
        )
    }

    /// For an upstream that can only stream and a caller who does not: feed the events, then take `fold.answer`.
    package func decoder() -> any StreamDecoder { upstream.makeStreamDecoder() }

    /// An upstream's error body in the caller's dialect, scrubbed.
    package func callerError(
        from body: [UInt8],
        status: Int,
        requestID: String,
        hiding hosts: [String] = [],
        _ parser: JSONParser
    ) -> [UInt8] {
        let found: NeutralError?? = try? parser.parse(body) { upstream.decodeError($0, status: status) }
        let error =
            (found ?? nil)
            ?? NeutralError(NeutralError.kind(ofStatus: status), "The upstream answered with status \(status).")
        return caller.encodeError(error.scrubbed(hiding: hosts), status: status, requestID: requestID)
    }

    private func callersFaults<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let fault as TranslationFault {
            let field =
                switch fault.place {
                case .caller(let name): name
                case .neutral(let field): caller.name(of: field)
                }
            throw GatewayError(.invalidRequest, "\(field): \(fault.message)", field: field)
        } catch let error as JSONError {
            throw GatewayError(.invalidRequest, "The request body is not valid JSON.", detail: "\(error)")
        }
    }
}
