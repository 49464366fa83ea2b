import Domain
import Formats

/// The `usageMetadata` of the Gemini API: each report is cumulative; input counts include what was read from the cache.
enum GeminiUsage {
    static func update(_ usage: inout TokenUsage, from object: JSONValue) {
        let cached = ReportedCount.read(object["cachedContentTokenCount"])
        if let prompt = ReportedCount.read(object["promptTokenCount"]) {
            let input = prompt + (ReportedCount.read(object["toolUsePromptTokenCount"]) ?? 0)
            usage.cacheRead = min(cached ?? 0, input)
            usage.input = input - usage.cacheRead
        }
        let candidates = ReportedCount.read(object["candidatesTokenCount"])
        let thoughts = ReportedCount.read(object["thoughtsTokenCount"])
        if candidates != nil || thoughts != nil { usage.output = (candidates ?? 0) + (thoughts ?? 0) }
    }
}
