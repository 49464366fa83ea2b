import Formats

/// What the API behind Antigravity puts round each object of an answer.
struct AntigravityEnvelope {
    /// Credits that the call used, and those that are left; nil when it was not paid with them.
    var credits: (used: Int, left: Int)?

    func wrap(_ response: [UInt8], _ answer: Answer) -> [UInt8] {
        JSONWriter.object { text in
            text.key("response")
            text.raw(response)
            text.member("traceId", answer.digest)
            text.objectMember("metadata") { _ in }
            guard let credits else { return }
            Self.write("consumedCredits", credits.used, to: &text)
            Self.write("remainingCredits", credits.left, to: &text)
        }
    }

    private static func write(_ name: StaticString, _ amount: Int, to text: inout JSONWriter) {
        text.arrayMember(name) { text in
            text.object {
                $0.member("creditType", "GOOGLE_ONE_AI")
                $0.member("creditAmount", String(amount))
            }
        }
    }
}
