import Domain
import Formats

/// Writes whole answers of the Responses API.
///
/// It does so with the stream's encoder, whose last event holds the whole answer: one way to write items, not two.
internal enum ResponsesAnswerEncoder {
    static func encode(_ answer: NeutralAnswer, _ context: AnswerContext) -> [UInt8] {
        let encoder = ResponsesStreamEncoder(context)
        encoder.collect(answer)
        return encoder.response(answer.stop)
    }
}

/// A response object, whole or on its way (API reference: The response object).
internal struct ResponsesObject {
    enum Status {
        case inProgress
        case completed
        case incomplete(reason: String)
        case failed(NeutralError)
    }

    let id: String
    let context: AnswerContext

    func write(_ status: Status, output: [[UInt8]], usage: NeutralUsage?, to json: inout JSONWriter) {
        json.object { json in
            json.member("id", id)
            json.member("object", "response")
            json.member("created_at", context.created)
            write(status, to: &json)
            json.member("model", context.model)
            json.key("output")
            json.array { for item in output { $0.raw(item) } }
            json.key("usage")
            if let usage { ResponsesUsage.write(usage, to: &json) } else { json.null() }
            // Nothing is kept that could be asked for later.
            json.null("previous_response_id")
            json.member("store", false)
            Self.writeMembers((context.options.echo ?? ResponsesEcho.nothing).bytes, to: &json)
        }
    }

    private func write(_ status: Status, to json: inout JSONWriter) {
        switch status {
        case .inProgress: json.member("status", "in_progress")
        case .completed: json.member("status", "completed")
        case .incomplete: json.member("status", "incomplete")
        case .failed: json.member("status", "failed")
        }
        json.key("error")
        if case .failed(let error) = status {
            json.object {
                $0.member("code", error.code ?? (error.kind == .rateLimited ? "rate_limit_exceeded" : "server_error"))
                $0.member("message", error.message)
            }
        } else {
            json.null()
        }
        json.key("incomplete_details")
        if case .incomplete(let reason) = status { json.object { $0.member("reason", reason) } } else { json.null() }
    }

    /// The members of an object, without its braces.
    private static func writeMembers(_ object: [UInt8], to json: inout JSONWriter) {
        // A key's text is written as it is, and what follows it up to the brace is part of the last value.
        guard let colon = object.firstIndex(of: UInt8(ascii: ":")) else { return }
        let key = object[2..<(colon - 1)]
        json.key(String(decoding: key, as: UTF8.self))
        json.raw(object[(colon + 1)..<(object.count - 1)])
    }

    static func status(of stop: NeutralStop) -> Status {
        switch stop {
        case .maxTokens, .contextFull: .incomplete(reason: "max_output_tokens")
        case .refusal: .incomplete(reason: "content_filter")
        case .endTurn, .stopSequence, .toolUse, .pause, .malformedToolCall: .completed
        }
    }
}
