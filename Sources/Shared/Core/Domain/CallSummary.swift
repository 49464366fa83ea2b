/// What policy may know of a request's body.
package struct CallSummary: Hashable, Sendable {
    package var model: String
    package var isStream: Bool
    /// Where the value of `model` stands in the body, its quotes included; nil where the path names the model.
    package var modelRange: Range<Int>?
    /// An earlier answer that this call goes on from (OpenAI Responses).
    package var previousResponse: String?
    /// Bytes to put into the body so that the upstream reports what a stream costs, and where (OpenAI Chat); nil when
    /// the caller asked for that itself.
    package var usageRequest: Insertion?

    /// What an answer may have at most; nil where the request does not say.
    package var answerTokens: Int64?
    /// How many of them are asked for.
    package var answers: Int64
    /// Whether the model reads besides what lies with the provider: an earlier answer, a conversation, a cache.
    package var goesOnFromStored: Bool
    /// As which the call wants to be served.
    package var tier = ServiceTier.standard

    package struct Insertion: Hashable, Sendable {
        /// The bytes that go.
        package var range: Range<Int>
        package var bytes: [UInt8]

        package init(_ bytes: [UInt8], replacing range: Range<Int>) {
            self.bytes = bytes
            self.range = range
        }
    }

    package init(
        model: String,
        isStream: Bool,
        modelRange: Range<Int>?,
        previousResponse: String? = nil,
        usageRequest: Insertion? = nil,
        answerTokens: Int64? = nil,
        answers: Int64 = 1,
        goesOnFromStored: Bool = false,
        tier: ServiceTier = .standard
    ) {
        self.model = model
        self.isStream = isStream
        self.modelRange = modelRange
        self.previousResponse = previousResponse
        self.usageRequest = usageRequest
        self.answerTokens = answerTokens
        self.answers = answers
        self.goesOnFromStored = goesOnFromStored
        self.tier = tier
    }
}
