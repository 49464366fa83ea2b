package import Domain

extension Dialect {
    /// How the dialect is understood as it stands on the wire.
    package var wire: any WireDialect {
        switch self {
        case .anthropic: AnthropicWire()
        case .openaiChat: OpenAIChatWire()
        case .openaiResponses: OpenAIResponsesWire()
        case .gemini: GeminiWire()
        }
    }
}
