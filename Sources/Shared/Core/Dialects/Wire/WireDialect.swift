package import Domain
package import Formats

/// What the gateway must understand of a dialect to pass its calls through: one implementation in the dialect's folder,
/// one line in `Dialect.wire`. Translation is another matter (`Neutral`).
package protocol WireDialect: Sendable {
    /// Reads what policy needs from a request.
    ///
    /// - Throws: `GatewayError.invalidRequest`, naming the field at fault.
    func summary(of request: JSONOutline, _ route: CallRoute) throws -> CallSummary
    /// Reads a whole answer; nil when the body is no JSON object.
    func answer(_ body: [UInt8], _ parser: JSONParser) -> WholeAnswer?
    /// Reads an error body; nil when it has not the dialect's shape: a proxy's page, for example.
    func error(_ body: [UInt8], _ parser: JSONParser) -> UpstreamErrorBody?
    func makeMeter() -> StreamMeter
    /// A stream's event with the model's name replaced by the caller's; nil when it has none, and then it stays.
    func renaming(_ event: SSEEvent, to model: String, _ parser: JSONParser) -> [UInt8]?
    /// An error in the dialect's shape.
    func errorBody(_ error: GatewayError, requestID: String) -> [UInt8]
    /// The stream event of an error after the first byte.
    func errorEvent(_ error: GatewayError, requestID: String) -> [UInt8]
    /// What keeps a silent stream alive.
    var keepAlive: [UInt8] { get }
}

/// A whole answer, as far as billing and model mapping must understand it.
package struct WholeAnswer: Sendable {
    package var usage = TokenUsage()
    /// What other models have done of the call.
    package var others: [ModelUsage] = []
    package var hasUsage = false
    /// An error that came with a status of success.
    package var isError = false
    /// Where the value that names the model stands in the body.
    package var modelRange: Range<Int>?
    /// What the answer can be asked for by later (OpenAI Responses).
    package var id: String?

    package init() {}

    /// What an answer of so many bytes amounts to, where it does not say.
    ///
    /// - Parameter input: what the request comes to.
    package static func estimatedUsage(ofBytes count: Int, input: Int64) -> TokenUsage {
        TokenUsage(
            input: input,
            output: Int64((count + StreamMeter.bytesPerToken - 1) / StreamMeter.bytesPerToken)
        )
    }
}

/// An upstream's error body, as far as verdicts and callers need it.
package struct UpstreamErrorBody: Hashable, Sendable {
    /// The dialect's own name for the kind: `not_found_error`, `model_not_found`, `NOT_FOUND`.
    package var type: String
    package var message: String
    /// Whether its bytes have the dialect's shape, so that a caller may get them as they are.
    package var isForCallers: Bool

    package init(type: String, message: String, isForCallers: Bool = true) {
        self.type = type
        self.message = message
        self.isForCallers = isForCallers
    }
}
