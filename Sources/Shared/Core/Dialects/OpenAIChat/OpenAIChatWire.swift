package import Domain
package import Formats

/// OpenAI Chat Completions and Embeddings as they stand on the wire.
package struct OpenAIChatWire: WireDialect {
    package init() {}

    package func summary(of body: [UInt8], _ route: CallRoute, _ parser: JSONParser) throws -> CallSummary {
        guard route.action == .generate else {
            let fields = try RequestFields(["model", "input"], in: body, parser)
            let (model, range) = try fields.model(0)
            guard try fields.range(1) != nil else {
                throw RequestFields.invalid("input: field required", field: "input")
            }
            return CallSummary(model: model, isStream: false, modelRange: range)
        }
        let names: [StaticString] = [
            "model", "stream", "messages", "stream_options", "prompt_cache_key", "max_completion_tokens", "max_tokens",
            "n", "service_tier",
        ]
        let fields = try RequestFields(names, in: body, parser)
        let (model, range) = try fields.model(0)
        let isStream = try fields.flag(1)
        try fields.requireArray(2)
        return CallSummary(
            model: model,
            isStream: isStream,
            modelRange: range,
            usageRequest: isStream ? try usageRequest(fields, options: fields.range(3)) : nil,
            sessionRange: fields.hint(4),
            answerTokens: fields.count(5) ?? fields.count(6),
            answers: fields.answers(7),
            tier: fields.tier(8)
        )
    }

    /// What makes the upstream report a stream's usage: `stream_options.include_usage`.
    private func usageRequest(_ fields: RequestFields, options: Range<Int>?) throws -> CallSummary.Insertion? {
        let option = #""include_usage":true"#
        func insertion(_ text: String, _ range: Range<Int>) -> CallSummary.Insertion {
            .init(Array(text.utf8), replacing: range)
        }
        guard let options else {
            let start = (fields.body.firstIndex(of: UInt8(ascii: "{")) ?? 0) + 1
            return insertion(#""stream_options":{\#(option)},"#, start..<start)
        }
        switch fields.body[options.lowerBound] {
        case UInt8(ascii: "n"): return insertion("{\(option)}", options)
        case UInt8(ascii: "{"): break
        // Anything else that is no object is for the upstream to refuse.
        default: return nil
        }
        return try fields.parser.parse(fields.body[options]) { document in
            switch document.locateTopLevel("include_usage") {
            case .found(let place):
                guard document.root["include_usage"]?.bool != true else { return nil }
                let start = options.lowerBound + place.value.lowerBound
                return insertion("true", start..<start + place.value.count)
            case .absent:
                let start = options.lowerBound + 1
                return insertion(document.root.count == 0 ? option : option + ",", start..<start)
            case .duplicate:
                throw RequestFields.invalid(
                    "stream_options.include_usage: stands more than once",
                    field: "stream_options.include_usage"
                )
            }
        }
    }

    package func answer(_ body: [UInt8], _ parser: JSONParser) -> WholeAnswer? {
        let found: WholeAnswer?? = try? parser.parse(body) { document in
            guard document.root.isObject else { return nil }
            var answer = WholeAnswer()
            if let object = document.root["usage"], object.isObject {
                OpenAIUsage.update(&answer.usage, fromChat: object, of: document.root)
                let message = document.root["choices"]?.elements.first { _ in true }?["message"]
                answer.usage.webSearches = ChatSearches.count(
                    model: document.root["model"],
                    cites: ChatSearches.cites(message?["annotations"])
                )
                answer.hasUsage = true
            }
            answer.isError = document.root["error"].map { !$0.isNull } ?? false
            answer.modelRange = document.locateTopLevel("model").value
            return answer
        }
        return found ?? nil
    }

    package func error(_ body: [UInt8], _ parser: JSONParser) -> UpstreamErrorBody? { OpenAIErrors.read(body, parser) }

    package func makeMeter() -> StreamMeter { OpenAIChatMeter() }

    package func renaming(_ event: SSEEvent, to model: String, _ parser: JSONParser) -> [UInt8]? {
        EventRenaming.rename(event, at: ["model"], to: model, parser)
    }

    package func errorBody(_ error: GatewayError, requestID: String) -> [UInt8] { OpenAIErrors.body(error) }

    package func errorEvent(_ error: GatewayError, requestID: String) -> [UInt8] {
        var out: [UInt8] = []
        SSEWriter.append(data: OpenAIErrors.body(error), to: &out)
        return out
    }

    package var keepAlive: [UInt8] { Self.comment }
    static let comment = Array(": keep-alive\n\n".utf8)
}
