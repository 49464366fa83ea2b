package import Domain
package import Formats

/// What a caller's encoder must know beside the events.
package struct AnswerContext: Hashable, Sendable {
    /// The model's name as the caller used it: answers repeat it.
    package var model: String
    /// Ids that the upstream does not give are made from it.
    package var requestID: String
    /// Unix seconds.
    package var created: Int64
    package var options: NeutralAnswerOptions
    /// Names that must not stand in what callers read of errors.
    package var hiddenHosts: [String]

    package init(
        model: String,
        requestID: String,
        created: Int64,
        options: NeutralAnswerOptions,
        hiddenHosts: [String] = []
    ) {
        self.model = model
        self.requestID = requestID
        self.created = created
        self.options = options
        self.hiddenHosts = hiddenHosts
    }
}

/// What stands outside a request's body: Gemini has model and streaming in its path.
package struct RequestEnvelope: Hashable, Sendable {
    package var model: String?
    package var isStream: Bool?
    package var isSSE: Bool?
    /// The path asks for a count of tokens, whose body can have another form (Gemini).
    package var countsTokens: Bool

    package init(model: String? = nil, isStream: Bool? = nil, isSSE: Bool? = nil, countsTokens: Bool = false) {
        self.model = model
        self.isStream = isStream
        self.isSSE = isSSE
        self.countsTokens = countsTokens
    }
}

/// One wire format, both ways. A new dialect is a folder with one of these and a line in `DialectRegistry`.
package protocol DialectCodec: SendableMetatype {
    static var dialect: Dialect { get }

    /// Reads a caller's request.
    /// - Throws: `TranslationFault`, naming the field.
    static func decodeRequest(_ document: JSONDocument, _ envelope: RequestEnvelope, _ parser: JSONParser) throws
        -> NeutralRequest
    /// Writes a request for an upstream.
    /// - Throws: `TranslationFault` for what the dialect cannot express.
    static func encodeRequest(_ request: NeutralRequest, _ parser: JSONParser) throws -> [UInt8]
    /// What a part of the neutral form is called in this dialect's requests.
    static func name(of field: NeutralField) -> String

    /// Whether an upstream of this dialect ends its answers at whatever stop sequences a request has. Where it may
    /// not, the answer is cut on its way to the caller, and the request names those that it can.
    static var honoursStopSequences: Bool { get }

    /// Reads an upstream's whole answer; an error in it becomes an `error` event.
    static func decodeAnswer(_ document: JSONDocument, into sink: any NeutralSink)
    static func encodeAnswer(_ answer: NeutralAnswer, _ context: AnswerContext) -> [UInt8]

    static func makeStreamDecoder() -> any StreamDecoder
    static func makeStreamEncoder(_ context: AnswerContext) -> any StreamEncoder

    /// Reads an error body; nil when it has not the dialect's shape.
    static func decodeError(_ document: JSONDocument, status: Int) -> NeutralError?
    static func encodeError(_ error: NeutralError, status: Int, requestID: String) -> [UInt8]
}

extension DialectCodec {
    package static var honoursStopSequences: Bool { true }
}

/// Takes the steps of an answer.
package protocol NeutralSink: AnyObject {
    func receive(_ event: NeutralEvent)
}

/// Reads an upstream's stream.
package protocol StreamDecoder: AnyObject {
    /// Takes the next event of the stream. Events after `end` or `error` were emitted are ignored.
    func receive(_ event: SSEEvent, _ parser: JSONParser, into sink: any NeutralSink)
    /// The stream is over. A dialect without an end mark emits `end` now if the answer was complete.
    func finish(into sink: any NeutralSink)
}

/// Writes a caller's stream.
package protocol StreamEncoder: AnyObject {
    func encode(_ event: NeutralEvent, into out: inout [UInt8])
}
