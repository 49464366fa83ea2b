package import Domain
package import Formats

/// OpenAI Chat Completions and Embeddings as they stand on the wire.
package struct OpenAIChatWire: WireDialect {
    package init() {}

    package func summary(of request: JSONOutline, _ route: CallRoute) throws -> CallSummary {
        let fields = try RequestFields(request)
        let (model, range) = try fields.model()
        guard route.action == .generate else {
            guard try fields.field("input") != nil else {
                throw RequestFields.invalid("input: field required", field: "input")
            }
            return CallSummary(model: model, isStream: false, modelRange: range)
        }
        let isStream = try fields.flag("stream")
        try fields.requireArray("messages")
        return CallSummary(
            model: model,
            isStream: isStream,
            modelRange: range,
            usageRequest: isStream ? try usageRequest(request, fields.field("stream_options")) : nil,
            answerTokens: fields.count("max_completion_tokens") ?? fields.count("max_tokens"),
            answers: fields.answers("n"),
            tier: try fields.tier("service_tier")
        )
    }

    /// What makes the upstream report a stream's usage: `stream_options.include_usage`.
    private func usageRequest(_ request: JSONOutline, _ options: JSONSourceValue?) throws -> CallSummary.Insertion? {
        let option = #""include_usage":true"#
        func insertion(_ text: String, _ range: Range<Int>) -> CallSummary.Insertion {
            .init(Array(text.utf8), replacing: range)
        }
        guard let options else {
            let start = request.root.range.lowerBound + 1
            return insertion(#""stream_options":{\#(option)},"#, start..<start)
        }
        if options.isNull { return insertion("{\(option)}", options.range) }
        // Anything else that is no object is for the upstream to refuse.
        guard options.isObject else { return nil }
        switch options.uniqueMember("include_usage") {
        case .found(let value): return value.bool == true ? nil : insertion("true", value.range)
        case .absent:
            let start = options.range.lowerBound + 1
            return insertion(options.isEmpty ? option : option + ",", start..<start)
        case .duplicate:
            throw RequestFields.invalid(
                "stream_options.include_usage: stands more than once",
                field: "stream_options.include_usage"
            )
        }
    }

    package func answer(_ body: [UInt8], _ parser: JSONParser) -> WholeAnswer? {
        let found: WholeAnswer?? = try? parser.parse(body) { document in
            guard document.root.isObject else { return nil }
            var answer = WholeAnswer()
            if let object = document.root["usage"], object.isObject {
                answer.hasUsage = OpenAIUsage.update(&answer.usage, fromChat: object, of: document.root)
                let message = document.root["choices"]?.elements.first { _ in true }?["message"]
                answer.usage.webSearches = ChatSearches.count(
                    model: document.root["model"],
                    cites: ChatSearches.cites(message?["annotations"])
                )
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
