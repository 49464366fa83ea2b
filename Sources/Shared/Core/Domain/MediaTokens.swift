/// What a request holds besides words, in tokens: no gateway can count them, so these are bounds from what providers
/// publish.
package struct MediaTokens: Hashable, Sendable {
    /// What it comes to at most, but for what was packed on purpose.
    package var most: Int64
    /// What it usually comes to.
    package var likely: Int64

    package init(most: Int64 = 0, likely: Int64 = 0) {
        self.most = most
        self.likely = likely
    }

    /// Anthropic: 4,784 patches of 28 pixels a side at most, 1,568 before Opus 4.7. Gemini: 258 a tile, 2,240 at most
    /// from Gemini 3 on.
    package static let image = MediaTokens(most: 5_000, likely: 1_600)
    /// OpenAI: up to 10,000 patches of 32 pixels where the original's detail is asked for.
    package static let detailedImage = MediaTokens(most: 10_000, likely: 1_600)
    /// What lies with the provider or behind a URL: a document, a recording, what was said before. A hundred pages, which
    /// Anthropic shows the model as images of 1,600 tokens.
    package static let unseen = MediaTokens(most: 160_000, likely: 10_000)

    /// A hundred pages' images, and a token for two bytes for their text: it is packed there, or drawn.
    ///
    /// - Parameter bytes: of its base64.
    package static func document(_ bytes: Int) -> MediaTokens {
        MediaTokens(most: unseen.most + Int64(bytes / 2), likely: 3_000 + Int64(bytes / 20))
    }

    /// Sound or a film. Gemini: 32 tokens a second of sound, about 300 of film; a token for 100 bytes is enough for what
    /// takes 20 and 180 kbit/s.
    ///
    /// - Parameter bytes: of its base64.
    package static func recording(_ bytes: Int) -> MediaTokens {
        MediaTokens(most: 1_000 + Int64(bytes / 100), likely: 100 + Int64(bytes / 400))
    }

    package static func += (sum: inout MediaTokens, other: MediaTokens) {
        sum.most &+= other.most
        sum.likely &+= other.likely
    }
}
