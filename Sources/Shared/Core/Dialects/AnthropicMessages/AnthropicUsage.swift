package import Domain
package import Formats

/// Reads the `usage` object of the Messages API.
package enum AnthropicUsage {
    /// Takes over every count that is present: in a stream each report is cumulative and may leave classes out.
    package static func update<Value: JSONReadable>(_ usage: inout TokenUsage, from object: Value) {
        func count(_ value: Value?) -> Int64? { ReportedCount.read(value) }
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
        if let tier = ServiceTier(reported: object["service_tier"]) { usage.tier = tier }
        if let searches = count(object["server_tool_use"]?["web_search_requests"]) { usage.webSearches = searches }
    }
}
