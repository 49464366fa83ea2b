package import Formats

/// Tokens that an answer says it used.
package struct ReportedUsage: Hashable, Sendable {
    package var input = 0
    package var output = 0
    package var cacheRead = 0
    package var cacheWrite5m = 0
    package var cacheWrite1h = 0
    package var webSearches = 0
    /// Of the output.
    package var reasoning = 0
    /// Of the input, and of the output; none for Anthropic's models, which do not tell them apart.
    package var imageInput = 0
    package var audioInput = 0
    package var imageOutput = 0
    package var audioOutput = 0

    package init() {}

    package static func + (left: Self, right: Self) -> Self {
        var sum = Self()
        sum.input = left.input &+ right.input
        sum.output = left.output &+ right.output
        sum.cacheRead = left.cacheRead &+ right.cacheRead
        sum.cacheWrite5m = left.cacheWrite5m &+ right.cacheWrite5m
        sum.cacheWrite1h = left.cacheWrite1h &+ right.cacheWrite1h
        sum.webSearches = left.webSearches &+ right.webSearches
        sum.reasoning = left.reasoning &+ right.reasoning
        sum.imageInput = left.imageInput &+ right.imageInput
        sum.audioInput = left.audioInput &+ right.audioInput
        sum.imageOutput = left.imageOutput &+ right.imageOutput
        sum.audioOutput = left.audioOutput &+ right.audioOutput
        return sum
    }

    /// The figures under the names that usage rows have too.
    package func write(to text: inout JSONWriter) {
        text.object {
            $0.member("input_tokens", input)
            $0.member("output_tokens", output)
            $0.member("cache_read_tokens", cacheRead)
            $0.member("cache_creation_5m_tokens", cacheWrite5m)
            $0.member("cache_creation_1h_tokens", cacheWrite1h)
            $0.member("web_searches", webSearches)
            $0.member("reasoning_tokens", reasoning)
            $0.member("image_input_tokens", imageInput)
            $0.member("audio_input_tokens", audioInput)
            $0.member("image_output_tokens", imageOutput)
            $0.member("audio_output_tokens", audioOutput)
        }
    }
}
