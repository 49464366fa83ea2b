import Domain
import Testing

/// How a caller asks, and an upstream answers, in one dialect: ten tokens in, four of them cached, seven out.
struct Speech: Sendable, CustomTestStringConvertible {
    let dialect: Dialect
    let platform: Platform
    let path: String
    let streamPath: String
    let upstreamPath: String
    let body: String
    let streamBody: String
    let answer: String
    /// The events of a stream, the last content before the last but one.
    let events: [String]
    /// What in a stream tells a caller that it broke off.
    let errorMark: String
    let missing: String
    var testDescription: String { dialect.rawValue }

    var stream: String { events.joined() }
    static let usage = TokenUsage(input: 6, output: 7, cacheRead: 4)

    static let chat = Speech(
        dialect: .openaiChat,
        platform: .openai,
        path: "/v1/chat/completions",
        streamPath: "/v1/chat/completions",
        upstreamPath: "/v1/chat/completions",
        body: #"{"model": "gpt-a","messages":[{"role":"user","content":"hi"}],"future":1.50}"#,
        streamBody:
            #"{"model": "gpt-a","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}"#,
        answer:
            #"{"id":"c1","object":"chat.completion","model":"gpt-a","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":7,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4}},"future":[1, 2]}"#,
        events: [
            #"data: {"id":"c1","model":"gpt-a","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#
                + "\n\n",
            #"data: {"id":"c1","model":"gpt-a","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}],"usage":null}"#
                + "\n\n",
            #"data: {"id":"c1","model":"gpt-a","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#
                + "\n\n",
            #"data: {"id":"c1","model":"gpt-a","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4}}}"#
                + "\n\n",
            "data: [DONE]\n\n",
        ],
        errorMark: #"data: {"error":{"#,
        missing:
            #"{"error":{"message":"The model `x` does not exist","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#
    )

    static let responses = Speech(
        dialect: .openaiResponses,
        platform: .openai,
        path: "/v1/responses",
        streamPath: "/v1/responses",
        upstreamPath: "/v1/responses",
        body: #"{"model": "gpt-a","input":"hi","future":1.50}"#,
        streamBody: #"{"model": "gpt-a","input":"hi","stream":true}"#,
        answer:
            #"{"id":"resp_1","object":"response","status":"completed","error":null,"model":"gpt-a","output":[],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":7}}"#,
        events: [
            "event: response.created\n"
                + #"data: {"type":"response.created","response":{"id":"resp_1","model":"gpt-a","status":"in_progress","output":[]}}"#
                + "\n\n",
            "event: response.output_item.added\n"
                + #"data: {"type":"response.output_item.added","item":{"type":"message"}}"# + "\n\n",
            "event: response.output_text.delta\n" + #"data: {"type":"response.output_text.delta","delta":"hello"}"#
                + "\n\n",
            "event: response.completed\n"
                + #"data: {"type":"response.completed","response":{"id":"resp_1","model":"gpt-a","status":"completed","output":[],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":7}}}"#
                + "\n\n",
        ],
        errorMark: "event: error\ndata: ",
        missing: chat.missing
    )

    static let gemini = Speech(
        dialect: .gemini,
        platform: .gemini,
        path: "/v1beta/models/gemini-a:generateContent",
        streamPath: "/v1beta/models/gemini-a:streamGenerateContent?alt=sse",
        upstreamPath: "/v1beta/models/gemini-a",
        body: #"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"future":1.50}"#,
        streamBody: #"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#,
        answer:
            #"{"candidates":[{"content":{"parts":[{"text":"hello"}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,"cachedContentTokenCount":4,"candidatesTokenCount":5,"thoughtsTokenCount":2},"modelVersion":"gemini-a"}"#,
        events: [
            #"data: {"candidates":[{"content":{"parts":[{"text":"hel"}],"role":"model"}}],"usageMetadata":{"promptTokenCount":10},"modelVersion":"gemini-a"}"#
                + "\r\n\r\n",
            #"data: {"candidates":[{"content":{"parts":[{"text":"lo"}],"role":"model"}}],"modelVersion":"gemini-a"}"#
                + "\r\n\r\n",
            #"data: {"candidates":[{"content":{"parts":[{"text":"!"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,"cachedContentTokenCount":4,"candidatesTokenCount":5,"thoughtsTokenCount":2},"modelVersion":"gemini-a"}"#
                + "\r\n\r\n",
        ],
        errorMark: #"data: {"error":{"code":502"#,
        missing: #"{"error":{"code":404,"message":"models/x is not found","status":"NOT_FOUND"}}"#
    )

    static let anthropic = Speech(
        dialect: .anthropic,
        platform: .anthropic,
        path: "/v1/messages",
        streamPath: "/v1/messages",
        upstreamPath: "/v1/messages",
        body: #"{"model": "claude-a","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
        streamBody: #"{"model": "claude-a","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#,
        answer:
            #"{"id":"msg_1","type":"message","role":"assistant","model":"claude-a","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":6,"cache_read_input_tokens":4,"output_tokens":7}}"#,
        events: [
            Says.event(
                "message_start",
                #"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-a","content":[],"usage":{"input_tokens":6,"cache_read_input_tokens":4,"output_tokens":1}}}"#
            ),
            Says.blockStart + Says.delta("hello"), Says.blockStop + Says.messageDelta(), Says.stop,
        ],
        errorMark: "event: error\ndata: ",
        missing: Says.failure("not_found_error", "model: x")
    )

    static let all = [chat, responses, gemini]

    /// The body with another model's name.
    func body(_ model: String, isStream: Bool = false) -> String {
        let body = isStream ? streamBody : body
        return ["claude-a", "gpt-a"].reduce(body) { text, name in
            text.split(separator: name, omittingEmptySubsequences: false).joined(separator: model)
        }
    }

    func path(_ model: String, isStream: Bool = false) -> String {
        (isStream ? streamPath : path).split(separator: "gemini-a", omittingEmptySubsequences: false)
            .joined(separator: model)
    }
}
