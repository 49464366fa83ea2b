import Domain
import Formats

/// The `usage` objects of the OpenAI APIs. Their input counts include what was read from the cache.
enum OpenAIUsage {
    static func update(_ usage: inout TokenUsage, fromChat object: JSONValue) {
        let cached = ReportedCount.read(object["prompt_tokens_details"]?["cached_tokens"]) ?? 0
        if let input = ReportedCount.read(object["prompt_tokens"]) {
            usage.cacheRead = min(cached, input)
            usage.input = input - usage.cacheRead
        }
        if let output = ReportedCount.read(object["completion_tokens"]) { usage.output = output }
    }

    static func update(_ usage: inout TokenUsage, fromResponse object: JSONValue) {
        let cached = ReportedCount.read(object["input_tokens_details"]?["cached_tokens"]) ?? 0
        if let input = ReportedCount.read(object["input_tokens"]) {
            usage.cacheRead = min(cached, input)
            usage.input = input - usage.cacheRead
        }
        if let output = ReportedCount.read(object["output_tokens"]) { usage.output = output }
    }
}
