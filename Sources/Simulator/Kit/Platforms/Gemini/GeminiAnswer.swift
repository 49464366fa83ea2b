import Formats
import HTTPMessages

/// Writes an answer as `:generateContent` and `:streamGenerateContent` do.
struct GeminiAnswer: AnswerWriter {
    enum Framing { case sse, array }

    let answer: Answer
    let errors: any PlatformErrors
    /// How the parts of a stream are framed.
    let framing: Framing
    /// Wraps each object as the API behind Antigravity does; nil leaves it as it is.
    var envelope: AntigravityEnvelope?

    private var content: Generation { answer.content }

    func fields(isStream: Bool) -> HeaderFields {
        GeminiHeaders.fields(
            contentType: isStream && framing == .sse ? "text/event-stream" : "application/json; charset=UTF-8"
        )
    }

    private var finishReason: String {
        switch content.stopReason {
        case .end, .toolUse, .stopSequence: "STOP"
        case .maxTokens: "MAX_TOKENS"
        case .refusal: "SAFETY"
        }
    }

    // MARK: Signatures

    /// The signature that comes with a call after thinking, or at the end of a text; `name` is the tool's, or empty.
    private static func signature(of name: String) -> String {
        Base64.encode(Array(Generation.signature(of: name).utf8))
    }

    /// Whether a call's signature may come back.
    static func isSignature(_ text: String, of name: String) -> Bool {
        text == signature(of: name) || text == "skip_thought_signature_validator"
    }

    private var isThinking: Bool { content.thinking != nil }

    // MARK: Objects

    /// One object: the parts of a candidate, and the usage so far.
    private func object(
        usage: ReportedUsage,
        finishReason: String?,
        hasCandidate: Bool = true,
        _ parts: ((inout JSONWriter) -> Void)?
    ) -> [UInt8] {
        let response = JSONWriter.object { text in
            if hasCandidate {
                text.arrayMember("candidates") { text in
                    text.object { text in
                        text.objectMember("content") {
                            if let parts { $0.arrayMember("parts", parts) }
                            $0.member("role", "model")
                        }
                        if let finishReason { text.member("finishReason", finishReason) }
                        text.member("index", 0)
                        if finishReason == "SAFETY" { Self.writeRatings(to: &text) }
                        if finishReason != nil, usage.webSearches > 0 { Self.writeSearches(usage, to: &text) }
                    }
                }
            }
            text.key("usageMetadata")
            Self.write(usage, to: &text)
            text.member("modelVersion", answer.model)
            text.member("responseId", "sim\(answer.digest)")
        }
        return envelope?.wrap(response, answer) ?? response
    }

    private static func write(_ usage: ReportedUsage, to text: inout JSONWriter) {
        let prompt = usage.input &+ usage.cacheRead
        text.object { text in
            text.member("promptTokenCount", prompt)
            text.member("candidatesTokenCount", usage.output &- usage.reasoning)
            text.member("totalTokenCount", prompt &+ usage.output)
            if usage.cacheRead > 0 { text.member("cachedContentTokenCount", usage.cacheRead) }
            let textTokens = prompt &- usage.imageInput &- usage.audioInput
            write(
                "promptTokensDetails",
                [("TEXT", textTokens), ("IMAGE", usage.imageInput), ("AUDIO", usage.audioInput)],
                to: &text
            )
            write(
                "candidatesTokensDetails",
                [("IMAGE", usage.imageOutput), ("AUDIO", usage.audioOutput)],
                to: &text
            )
            if usage.reasoning > 0 { text.member("thoughtsTokenCount", usage.reasoning) }
        }
    }

    /// Those of no tokens are left out.
    private static func write(
        _ name: StaticString,
        _ details: [(modality: String, count: Int)],
        to text: inout JSONWriter
    ) {
        let details = details.filter { $0.count > 0 }
        guard !details.isEmpty else { return }
        text.arrayMember(name) { text in
            for detail in details {
                text.object {
                    $0.member("modality", detail.modality)
                    $0.member("tokenCount", detail.count)
                }
            }
        }
    }

    private static func writeRatings(to text: inout JSONWriter) {
        text.arrayMember("safetyRatings") { text in
            text.object {
                $0.member("category", "HARM_CATEGORY_DANGEROUS_CONTENT")
                $0.member("probability", "HIGH")
                $0.member("blocked", true)
            }
        }
    }

    private static func writeSearches(_ usage: ReportedUsage, to text: inout JSONWriter) {
        text.objectMember("groundingMetadata") { text in
            text.arrayMember("webSearchQueries") { text in
                for number in 1...min(usage.webSearches, 1_000) { text.string("sim \(number)") }
            }
        }
    }

    /// One part, as whole answers have it; nil for what is not said.
    private func write(_ block: Generation.Block, hasSignature: Bool, to text: inout JSONWriter) {
        switch block {
        case .thinking(let thinking):
            if !thinking.isEmpty { Self.writeThought(thinking, to: &text) }
        case .text(let content):
            text.object {
                $0.member("text", content)
                if hasSignature { $0.member("thoughtSignature", Self.signature(of: "")) }
            }
        case .toolUse(let id, let call):
            text.object { text in
                text.objectMember("functionCall") {
                    $0.member("id", id)
                    $0.member("name", call.name)
                    $0.key("args")
                    $0.raw(call.input)
                }
                if hasSignature { text.member("thoughtSignature", Self.signature(of: call.name)) }
            }
        case .refusal: break
        }
    }

    private static func writeThought(_ thinking: String, to text: inout JSONWriter) {
        text.object {
            $0.member("text", thinking)
            $0.member("thought", true)
        }
    }

    /// Which block the signature comes with: the first call, else the text.
    private var signedIndex: Int? {
        guard isThinking else { return nil }
        let call = content.blocks.firstIndex { if case .toolUse = $0 { true } else { false } }
        return call ?? content.blocks.firstIndex { if case .text = $0 { true } else { false } }
    }

    // MARK: Whole

    func whole(hasContent: Bool) -> [UInt8] {
        let hasParts = hasContent && content.stopReason != .refusal
        return object(
            usage: answer.usage,
            finishReason: finishReason,
            hasCandidate: hasContent,
            hasParts ? writeParts : nil
        )
    }

    private func writeParts(to text: inout JSONWriter) {
        for (index, block) in content.blocks.enumerated() {
            write(block, hasSignature: index == signedIndex, to: &text)
        }
    }

    // MARK: Streamed

    func stream(textEvents: Int?, hasContent: Bool) -> AnswerStream {
        var stream = AnswerStream()
        stream.bytes.reserveCapacity(1024 + (textEvents ?? 0) * 384)
        if hasContent { appendContent(textEvents, to: &stream) }
        // Without content, and in a refusal, there are no parts at all; else an empty text ends it, as it often does.
        let hasEnd = hasContent && content.stopReason != .refusal
        let isSigned =
            isThinking && signedIndex.map { if case .text = content.blocks[$0] { true } else { false } } ?? false
        let end = object(
            usage: answer.usage,
            finishReason: finishReason,
            hasEnd
                ? { text in
                    text.object {
                        $0.member("text", "")
                        if isSigned { $0.member("thoughtSignature", Self.signature(of: "")) }
                    }
                } : nil
        )
        append(end, to: &stream)
        if hasContent { stream.usage.append((stream.bytes.count, answer.usage)) }
        if framing == .array { stream.bytes += Array("]\n".utf8) }
        return stream
    }

    private func appendContent(_ textEvents: Int?, to stream: inout AnswerStream) {
        var events: [(inout JSONWriter) -> Void] = []
        for (index, block) in content.blocks.enumerated() {
            switch block {
            case .thinking(let thinking):
                for part in UTF8Parts(thinking, count: 3) where !part.isEmpty {
                    events.append { Self.writeThought(String(decoding: part, as: UTF8.self), to: &$0) }
                }
            case .text(let text):
                for part in AnswerStream.parts(of: text, count: textEvents) {
                    events.append { text in
                        text.object { $0.member("text", String(decoding: part, as: UTF8.self)) }
                    }
                }
            case .toolUse:
                let isSigned = index == signedIndex
                events.append { write(block, hasSignature: isSigned, to: &$0) }
            case .refusal: break
            }
        }
        for (index, event) in events.enumerated() {
            var usage = answer.usage
            // What is generated grows from event to event; both factors are far below 2^31 unless a word sets them.
            usage.output = Self.share(usage.output, index + 1, of: events.count + 1)
            usage.reasoning = min(usage.reasoning, usage.output)
            usage.webSearches = 0
            let start = stream.bytes.count
            append(object(usage: usage, finishReason: nil) { event(&$0) }, to: &stream)
            stream.noteDelta(from: start)
            stream.usage.append((stream.bytes.count, usage))
        }
    }

    private static func share(_ total: Int, _ index: Int, of count: Int) -> Int {
        let (product, overflow) = total.multipliedReportingOverflow(by: index)
        return overflow ? total / count : product / count
    }

    private func append(_ object: [UInt8], to stream: inout AnswerStream) {
        switch framing {
        case .sse: stream.bytes += Array("data: ".utf8) + object + Array("\r\n\r\n".utf8)
        case .array: stream.bytes += Array((stream.bytes.isEmpty ? "[" : ",\r\n").utf8) + object + [0x0a]
        }
    }

    func errorEvent(in stream: AnswerStream, at end: Int) -> [UInt8] {
        var rest = AnswerStream()
        if end > 0 { rest.bytes = [0x0a] }
        append(GeminiErrors.body(503, GeminiErrors.overloaded), to: &rest)
        return Array(rest.bytes.dropFirst(end > 0 ? 1 : 0)) + (framing == .array ? Array("]\n".utf8) : [])
    }
}
