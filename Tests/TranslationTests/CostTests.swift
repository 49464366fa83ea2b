import Dialects
import Domain
import Formats
import Testing

/// What translating an event costs beside passing it through: both are measured here, so that only their ratio counts.
@Suite(
    "The cost of translation",
    .serialized,
    .disabled(if: _isDebugAssertConfiguration(), "without optimisation the figures say little")
)
struct CostTests {
    private static let deltas = 4000
    /// Times the cost of pass-through, as the product promises.
    private static let limit = 3.0

    private static func stream(_ dialect: Dialect) -> [UInt8] {
        var text = ""
        let words = ["The", " harbour", " master", " says \\\"no\\\"", ",", " and", " the tide", " turns.\\n"]
        switch dialect {
        case .anthropic:
            text += """
                event: message_start
                data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",\
                "model":"claude","content":[],"usage":{"input_tokens":25,"output_tokens":1}}}

                event: content_block_start
                data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}


                """
            for index in 0..<deltas {
                text += """
                    event: content_block_delta
                    data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",\
                    "text":"\(words[index % words.count])"}}


                    """
            }
        case .openaiChat:
            for index in 0..<deltas {
                text += """
                    data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763700000,"model":"gpt",\
                    "service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,\
                    "delta":{"content":"\(words[index % words.count])"},"logprobs":null,"finish_reason":null}],\
                    "usage":null}


                    """
            }
        case .gemini:
            for index in 0..<deltas {
                text += """
                    data: {"candidates": [{"content": {"parts": [{"text": "\(words[index % words.count])"}],\
                    "role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 12,\
                    "candidatesTokenCount": \(index),"totalTokenCount": \(index + 12),\
                    "promptTokensDetails": [{"modality": "TEXT","tokenCount": 12}]},\
                    "modelVersion": "gemini-2.5-flash","responseId": "abc"}


                    """
            }
        case .openaiResponses:
            for index in 0..<deltas {
                text += """
                    event: response.output_text.delta
                    data: {"type":"response.output_text.delta","sequence_number":\(index),"item_id":"msg_1",\
                    "output_index":0,"content_index":0,"delta":"\(words[index % words.count])","logprobs":[],\
                    "obfuscation":"aB3dE5"}


                    """
            }
        }
        return Array(text.utf8)
    }

    @Test(
        "an event costs at most three times what passing it through costs",
        arguments: Translating.dialects
    )
    func ratio(_ upstream: Dialect) throws {
        let bytes = Self.stream(upstream)
        let parser = JSONParser()
        for caller in Translating.dialects where caller != upstream {
            // The least of several runs: what disturbs a run only ever adds to it.
            var through = Duration.seconds(1000)
            var translated = Duration.seconds(1000)
            for _ in 0..<40 {
                through = min(through, try Self.passThrough(bytes, upstream, parser))
                translated = min(translated, try Self.translate(bytes, upstream, caller, parser))
            }
            let ratio = translated / through
            #expect(ratio <= Self.limit, "\(upstream) to \(caller): \(translated / Self.deltas) an event")
        }
    }

    private static func passThrough(_ bytes: [UInt8], _ dialect: Dialect, _ parser: JSONParser) throws -> Duration {
        let meter = dialect.wire.makeMeter()
        return try run(bytes) { event, out in
            _ = meter.receive(event, parser)
            out.append(contentsOf: event.raw)
        } flush: { _ in
        }
    }

    private static func translate(
        _ bytes: [UInt8],
        _ upstream: Dialect,
        _ caller: Dialect,
        _ parser: JSONParser
    ) throws -> Duration {
        let translator = try #require(Translator(caller: caller, upstream: upstream))
        let meter = TranslatingMeter(translator.stream(Translating.context))
        return try run(bytes) { event, out in
            _ = meter.receive(event, parser)
        } flush: { out in
            meter.takeOutput(into: &out)
        }
    }

    /// In pieces of a few events, as they come from a socket; what is written is given away with each piece.
    private static func run(
        _ bytes: [UInt8],
        _ body: (SSEEvent, inout [UInt8]) -> Void,
        flush: (inout [UInt8]) -> Void
    ) throws -> Duration {
        var events = SSEParser()
        var out: [UInt8] = []
        out.reserveCapacity(16384)
        return try ContinuousClock().measure {
            try bytes.withUnsafeBytes { bytes in
                for start in stride(from: 0, to: bytes.count, by: 1400) {
                    let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + 1400)])
                    try events.feed(piece) { body($0, &out) }
                    flush(&out)
                    out.removeAll(keepingCapacity: true)
                }
            }
        }
    }
}
