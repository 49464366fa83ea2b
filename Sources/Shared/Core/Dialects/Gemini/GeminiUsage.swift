import Domain
import Formats

/// The `usageMetadata` of the Gemini API: each report is cumulative; input counts include what was read from the cache.
enum GeminiUsage {
    /// - Returns: whether there was a count of what was read or generated.
    @discardableResult
    static func update(_ usage: inout TokenUsage, from object: JSONValue) -> Bool {
        var counts = Counts()
        // Every event of a stream has such an object: one walk through it.
        for (name, value) in object.members { counts.read(name, value) }
        if let tier = counts.tier { usage.tier = tier }
        if let prompt = counts.prompt {
            let input = prompt + counts.toolPrompt
            usage.cacheRead = min(counts.cached, input)
            usage.input = input - usage.cacheRead
            usage.inputMedia = counts.inputMedia.within(usage.input)
        }
        if counts.candidates != nil || counts.thoughts != nil {
            usage.output = (counts.candidates ?? 0) + (counts.thoughts ?? 0)
            usage.outputMedia = counts.outputMedia.within(usage.output)
        }
        return counts.prompt != nil || counts.candidates != nil || counts.thoughts != nil
    }

    private struct Counts {
        var prompt: Int64?
        var toolPrompt: Int64 = 0
        var cached: Int64 = 0
        var candidates: Int64?
        var thoughts: Int64?
        /// Of prompts, without what the cache had of them.
        var inputMedia = TokenUsage.Media()
        var outputMedia = TokenUsage.Media()
        var tier: ServiceTier?

        mutating func read(_ name: JSONKey, _ value: JSONValue) {
            if name == "promptTokenCount" {
                prompt = ReportedCount.read(value)
            } else if name == "candidatesTokenCount" {
                candidates = ReportedCount.read(value)
            } else if name == "thoughtsTokenCount" {
                thoughts = ReportedCount.read(value)
            } else if name == "cachedContentTokenCount" {
                cached = ReportedCount.read(value) ?? 0
            } else if name == "toolUsePromptTokenCount" {
                toolPrompt = ReportedCount.read(value) ?? 0
            } else if name == "promptTokensDetails" || name == "toolUsePromptTokensDetails" {
                Self.add(value, to: &inputMedia, times: 1)
            } else if name == "cacheTokensDetails" {
                Self.add(value, to: &inputMedia, times: -1)
            } else if name == "serviceTier" {
                tier = ServiceTier(reported: value)
            } else if name == "candidatesTokensDetails" {
                Self.add(value, to: &outputMedia, times: 1)
            }
        }

        /// `[{"modality":"AUDIO","tokenCount":258},…]`; video and documents cost what text does.
        private static func add(_ details: JSONValue, to media: inout TokenUsage.Media, times sign: Int64) {
            details.forEachElement { detail in
                guard let modality = detail["modality"], let count = ReportedCount.read(detail["tokenCount"]) else {
                    return
                }
                if modality.equals("IMAGE") {
                    media.image &+= sign &* count
                } else if modality.equals("AUDIO") {
                    media.audio &+= sign &* count
                }
            }
        }
    }
}

/// The searches of one answer, as Google bills them: each different query that is not empty; before Gemini 3 one for
/// every answer that searched (ai.google.dev, "Grounding with Google Search", pricing).
struct GeminiSearches {
    private static let maximumQueries = 1024

    private var queries: Set<String> = []

    /// Takes in a candidate's `groundingMetadata`; returns all searches so far.
    mutating func read(_ grounding: JSONValue, model: JSONValue?) -> Int64 {
        grounding["webSearchQueries"]?.forEachElement { query in
            guard queries.count < Self.maximumQueries, let text = query.string, !text.isEmpty else { return }
            queries.insert(text)
        }
        let name = model?.string ?? ""
        let isByAnswer = name.hasPrefix("gemini-2") || name.hasPrefix("gemini-1")
        return isByAnswer ? min(1, Int64(queries.count)) : Int64(queries.count)
    }
}
