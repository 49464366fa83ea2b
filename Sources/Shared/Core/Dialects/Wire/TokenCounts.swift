package import Domain
package import Formats

/// The answers of routes that count tokens.
package enum TokenCounts {
    package static func body(_ count: Int64, in dialect: Dialect) -> [UInt8] {
        Array((dialect == .gemini ? #"{"totalTokens":\#(count)}"# : #"{"input_tokens":\#(count)}"#).utf8)
    }

    /// The count of one dialect's answer in another's; nil when there is none in it.
    package static func translate(_ body: [UInt8], to dialect: Dialect, _ parser: JSONParser) -> [UInt8]? {
        let count: Int64?? = try? parser.parse(body) { document in
            ReportedCount.read(
                document.root["totalTokens"] ?? document.root["input_tokens"] ?? document.root["inputTokens"]
            )
        }
        return (count ?? nil).map { Self.body($0, in: dialect) }
    }
}
