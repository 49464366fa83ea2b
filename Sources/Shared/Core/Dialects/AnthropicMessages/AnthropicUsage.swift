package import Domain
package import Formats

/// Reads the `usage` object of the Messages API.
package enum AnthropicUsage {
    /// Takes over every count that is present: in a stream each report is cumulative and may leave classes out.
    package static func update(_ usage: inout TokenUsage, from object: JSONValue) {
        func count(_ value: JSONValue?) -> Int64? {
            guard let number = value?.int64, (0...1_000_000_000_000).contains(number) else { return nil }
            return number
        }
        if let input = count(object["input_tokens"]) { usage.input = input }
        if let output = count(object["output_tokens"]) { usage.output = output }
        if let read = count(object["cache_read_input_tokens"]) { usage.cacheRead = read }
        let written = count(object["cache_creation_input_tokens"])
        let breakdown = object["cache_creation"]
        let in5m = count(breakdown?["ephemeral_5m_input_tokens"])
        let in1h = count(breakdown?["ephemeral_1h_input_tokens"])
        if in5m != nil || in1h != nil {
            usage.cacheWrite5m = in5m ?? 0
            usage.cacheWrite1h = in1h ?? 0
            // What the sum has beyond its parts is of the default class.
            if let written { usage.cacheWrite5m += max(0, written - usage.cacheWrite) }
        } else if let written, written != usage.cacheWrite {
            usage.cacheWrite5m = max(0, written - usage.cacheWrite1h)
            usage.cacheWrite1h = min(usage.cacheWrite1h, written)
        }
        if let searches = count(object["server_tool_use"]?["web_search_requests"]) { usage.webSearches = searches }
    }
}

/// A whole answer of the Messages API, as far as billing and model mapping must understand it.
package struct AnthropicAnswer: Sendable {
    package var usage = TokenUsage()
    package var hasUsage = false
    /// An error that came with a status of success.
    package var isError = false
    /// Where the value of `model` stands in the body.
    package var modelRange: Range<Int>?

    /// Nil when the body is no JSON object.
    package init?(_ body: [UInt8], _ parser: JSONParser) {
        let found: AnthropicAnswer?? = try? parser.parse(body) { document in
            guard document.root.isObject else { return nil }
            return AnthropicAnswer(document)
        }
        guard let answer = found ?? nil else { return nil }
        self = answer
    }

    /// What an answer of so many bytes amounts to, where it does not say.
    package static func estimatedUsage(ofBytes count: Int) -> TokenUsage {
        let perToken = AnthropicStreamMeter.bytesPerToken
        return TokenUsage(output: Int64((count + perToken - 1) / perToken))
    }

    private init(_ document: JSONDocument) {
        if let object = document.root["usage"], object.isObject {
            AnthropicUsage.update(&usage, from: object)
            hasUsage = true
        }
        isError = document.root["type"]?.string == "error"
        modelRange = document.locateTopLevel("model").value
    }
}
