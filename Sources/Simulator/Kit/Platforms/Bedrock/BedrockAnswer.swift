import Formats
import HTTPMessages

/// Writes an answer as Bedrock does: the Messages API's, whole or in the chunks of an event stream.
struct BedrockAnswer: AnswerWriter {
    private let message: AnthropicMessage
    let errors: any PlatformErrors
    private let requestID: String

    init(_ answer: Answer, errors: any PlatformErrors, requestID: String, headers: AnthropicHeaders) {
        var answer = answer
        answer.model = Self.modelName(of: answer.model)
        message = AnthropicMessage(
            answer: answer,
            errors: errors,
            headers: headers,
            framing: .chunks,
            idPrefix: "msg_bdrk_"
        )
        self.errors = errors
        self.requestID = requestID
    }

    /// `us.anthropic.claude-sonnet-4-5-20250929-v1:0` without region, vendor and version.
    static func modelName(of id: String) -> String {
        var name = id[...]
        if let vendor = name.firstRange(of: "anthropic.") { name = name[vendor.upperBound...] }
        if let version = name.lastIndex(of: "-"), name[version...].contains(":") { name = name[..<version] }
        return name.isEmpty ? id : String(name)
    }

    static func fields(contentType: String, requestID: String) -> HeaderFields {
        var fields = HeaderFields()
        fields.add("content-type", contentType)
        fields.add("x-amzn-requestid", requestID)
        return fields
    }

    func fields(isStream: Bool) -> HeaderFields {
        let usage = message.answer.usage
        var fields = Self.fields(
            contentType: isStream ? "application/vnd.amazon.eventstream" : "application/json",
            requestID: requestID
        )
        if isStream {
            fields.add("x-amzn-bedrock-content-type", "application/json")
            return fields
        }
        fields.add("x-amzn-bedrock-invocation-latency", "17")
        fields.add("x-amzn-bedrock-input-token-count", "\(usage.input)")
        fields.add("x-amzn-bedrock-output-token-count", "\(usage.output)")
        fields.add("x-amzn-bedrock-cache-read-input-token-count", "\(usage.cacheRead)")
        fields.add("x-amzn-bedrock-cache-write-input-token-count", "\(usage.cacheWrite5m &+ usage.cacheWrite1h)")
        return fields
    }

    var hasChecksums: Bool { true }

    func whole(hasContent: Bool) -> [UInt8] { message.whole(hasContent: hasContent) }

    func stream(textEvents: Int?, hasContent: Bool) -> AnswerStream {
        message.stream(textEvents: textEvents, hasContent: hasContent)
    }

    /// What the last event of a stream says besides.
    static func write(metrics usage: ReportedUsage, to text: inout JSONWriter) {
        text.objectMember("amazon-bedrock-invocationMetrics") {
            $0.member("inputTokenCount", usage.input)
            $0.member("outputTokenCount", usage.output)
            $0.member("invocationLatency", 17)
            $0.member("firstByteLatency", 7)
            $0.member("cacheReadInputTokenCount", usage.cacheRead)
            $0.member("cacheWriteInputTokenCount", usage.cacheWrite5m &+ usage.cacheWrite1h)
        }
    }

    // MARK: Frames

    /// Appends an event of the Messages API as a chunk.
    static func append(chunk event: [UInt8], to bytes: inout [UInt8]) {
        let payload = JSONWriter.object {
            $0.member("bytes", Base64.encode(event))
            // As much padding as the length asks for: sizes are to give nothing away.
            $0.member("p", String("abcdefghijklmnopqrstuvwxyz".prefix(event.count % 26)))
        }
        AWSEventStreamWriter.append(
            headers: [
                (":event-type", .string("chunk")), (":content-type", .string("application/json")),
                (":message-type", .string("event")),
            ],
            payload: payload,
            to: &bytes
        )
    }

    func errorEvent(in stream: AnswerStream, at end: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        AWSEventStreamWriter.append(
            headers: [
                (":exception-type", .string("modelStreamErrorException")),
                (":content-type", .string("application/json")), (":message-type", .string("exception")),
            ],
            payload: JSONWriter.object {
                $0.member("message", "The model's stream ended with an error. Try your request again.")
                $0.member("originalStatusCode", 500)
            },
            to: &bytes
        )
        return bytes
    }
}
