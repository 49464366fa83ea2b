import Domain
import Formats

/// The `usage` objects of the OpenAI APIs. Their input counts include what was read from the cache, what was written to
/// it (`cache_write_tokens`, which models from GPT-5.6 on report and bill) and what was no text.
enum OpenAIUsage {
    private struct Names {
        let input: StaticString
        let inputDetails: StaticString
        let output: StaticString
        let outputDetails: StaticString
    }

    private static let chat = Names(
        input: "prompt_tokens",
        inputDetails: "prompt_tokens_details",
        output: "completion_tokens",
        outputDetails: "completion_tokens_details"
    )
    private static let responses = Names(
        input: "input_tokens",
        inputDetails: "input_tokens_details",
        output: "output_tokens",
        outputDetails: "output_tokens_details"
    )

    /// - Parameter answer: the answer or chunk that the object stands in: it says how the call was served.
    /// - Returns: whether there was a count of what was read or generated.
    @discardableResult
    static func update(_ usage: inout TokenUsage, fromChat object: JSONValue, of answer: JSONValue) -> Bool {
        if let tier = ServiceTier(reported: answer["service_tier"]) { usage.tier = tier }
        return update(&usage, from: object, chat)
    }

    /// - Parameter answer: the response that the object stands in.
    /// - Returns: whether there was a count of what was read or generated.
    @discardableResult
    static func update(_ usage: inout TokenUsage, fromResponse object: JSONValue, of answer: JSONValue) -> Bool {
        if let tier = ServiceTier(reported: answer["service_tier"]) { usage.tier = tier }
        return update(&usage, from: object, responses)
    }

    private static func update(_ usage: inout TokenUsage, from object: JSONValue, _ names: Names) -> Bool {
        let input = ReportedCount.read(object[names.input])
        let output = ReportedCount.read(object[names.output])
        if let input {
            let details = object[names.inputDetails]
            usage.cacheRead = min(count("cached_tokens", details), input)
            usage.cacheWrite5m = min(count("cache_write_tokens", details), input - usage.cacheRead)
            usage.input = input - usage.cacheRead - usage.cacheWrite5m
            // What of it came from the cache is not said; at most the rest is.
            usage.inputMedia = media(details).within(usage.input)
        }
        if let output {
            usage.output = output
            usage.outputMedia = media(object[names.outputDetails]).within(output)
        }
        return input != nil || output != nil
    }

    private static func media(_ details: JSONValue?) -> TokenUsage.Media {
        TokenUsage.Media(image: count("image_tokens", details), audio: count("audio_tokens", details))
    }

    private static func count(_ name: StaticString, _ details: JSONValue?) -> Int64 {
        ReportedCount.read(details?[name]) ?? 0
    }
}
