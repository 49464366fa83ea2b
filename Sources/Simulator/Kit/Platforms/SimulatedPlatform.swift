package import Formats
package import HTTPMessages

/// One request as a platform sees it.
package struct SimulatedCall {
    package var head: HTTPRequestHead
    /// The bytes of the body; nil when it was larger than the platform's limit.
    package var body: [UInt8]?
    /// Number of the call since the start.
    package var sequence: Int
    /// Microseconds since 1970.
    package var now: Int64

    package init(head: HTTPRequestHead, body: [UInt8]?, sequence: Int, now: Int64) {
        self.head = head
        self.body = body
        self.sequence = sequence
        self.now = now
    }
}

/// A provider whose API is simulated.
package protocol SimulatedPlatform {
    /// Bytes of a request body that it takes.
    var bodyLimit: Int { get }

    /// Whether the request is for one of its own routes.
    func serves(_ head: HTTPRequestHead) -> Bool

    /// The credential that the request carries.
    func credential(of head: HTTPRequestHead) -> Credential?

    /// Decides the whole answer.
    func answer(_ call: SimulatedCall, _ state: inout SimulatorState, _ parser: JSONParser) -> AnswerPlan
}

/// The platforms, in the order in which they are asked for a path.
package enum PlatformRegistry {
    package static func all() -> [any SimulatedPlatform] {
        [
            OAuthPlatform(), OpenAIPlatform(), GeminiPlatform(), BedrockPlatform(), AntigravityPlatform(),
            AntigravityKeyPlatform(),
            AnthropicPlatform(),
        ]
    }
}

extension Substring {
    /// The last part of a path that begins so, decoded; nil when the path is another, or that part is empty.
    func identifier(after prefix: String) -> String? {
        guard hasPrefix(prefix) else { return nil }
        let identifier = PercentCoding.decode(dropFirst(prefix.count))
        return identifier.isEmpty ? nil : identifier
    }
}
