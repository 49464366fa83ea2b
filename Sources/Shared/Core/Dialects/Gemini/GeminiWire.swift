package import Domain
package import Formats

/// The Gemini API (`generateContent` and its like) as it stands on the wire. The path names model and form.
package struct GeminiWire: WireDialect {
    package init() {}

    package func summary(of request: JSONOutline, _ route: CallRoute) throws -> CallSummary {
        guard let model = route.model else { throw RequestFields.invalid("model: field required", field: "model") }
        try RequestFields.check(model: model)
        var summary = CallSummary(model: model, isStream: route.isStream, modelRange: nil)
        let fields = try RequestFields(request)
        if route.action == .generate {
            try fields.requireArray("contents")
            Self.readLimits(fields, into: &summary)
            summary.goesOnFromStored = fields.isGiven("cachedContent") || fields.isGiven("cached_content")
        } else if try fields.field("generateContentRequest") == nil,
            try fields.field("generate_content_request") == nil
        {
            // Tokens can be counted of a whole request as well, which has its contents inside.
            try fields.requireArray("contents")
        }
        return summary
    }

    /// Fields may be written either way.
    private static func readLimits(_ fields: RequestFields, into summary: inout CallSummary) {
        let config = (try? fields.value("generationConfig")) ?? (try? fields.value("generation_config"))
        guard let config else { return }
        summary.answerTokens = (config["maxOutputTokens"] ?? config["max_output_tokens"])?.int64
        if let count = config["candidateCount"] ?? config["candidate_count"], !count.isNull {
            summary.answers = RequestFields.answers(count.int64)
        }
    }

    package func answer(_ body: [UInt8], _ parser: JSONParser) -> WholeAnswer? {
        let found: WholeAnswer?? = try? parser.parse(body) { document in
            guard document.root.isObject else { return nil }
            var answer = WholeAnswer()
            if let object = document.root["usageMetadata"], object.isObject {
                answer.hasUsage = GeminiUsage.update(&answer.usage, from: object)
            }
            var searches = GeminiSearches()
            document.root["candidates"]?.forEachElement { candidate in
                guard let grounding = candidate["groundingMetadata"] else { return }
                answer.usage.webSearches = searches.read(grounding, model: document.root["modelVersion"])
            }
            answer.isError = document.root["error"].map { !$0.isNull } ?? false
            answer.modelRange = document.locateTopLevel("modelVersion").value
            return answer
        }
        return found ?? nil
    }

    package func error(_ body: [UInt8], _ parser: JSONParser) -> UpstreamErrorBody? { GeminiErrors.read(body, parser) }

    package func makeMeter() -> StreamMeter { GeminiMeter() }

    package func renaming(_ event: SSEEvent, to model: String, _ parser: JSONParser) -> [UInt8]? {
        EventRenaming.rename(event, at: ["modelVersion"], to: model, parser)
    }

    package func errorBody(_ error: GatewayError, requestID: String) -> [UInt8] { GeminiErrors.body(error) }

    package func errorEvent(_ error: GatewayError, requestID: String) -> [UInt8] {
        var out: [UInt8] = []
        SSEWriter.append(data: GeminiErrors.body(error), to: &out)
        return out
    }

    /// Google's own packages fail on a comment.
    package var keepAlive: [UInt8] { [UInt8(ascii: "\n")] }
}
