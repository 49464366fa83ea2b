package import Domain
package import Formats

/// The Gemini API (`generateContent` and its like) as it stands on the wire. The path names model and form.
package struct GeminiWire: WireDialect {
    package init() {}

    package func summary(of body: [UInt8], _ route: CallRoute, _ parser: JSONParser) throws -> CallSummary {
        guard let model = route.model else { throw RequestFields.invalid("model: field required", field: "model") }
        try RequestFields.check(model: model)
        var summary = CallSummary(model: model, isStream: route.isStream, modelRange: nil)
        if route.action == .generate {
            let names: [StaticString] = [
                "contents", "generationConfig", "generation_config", "cachedContent", "cached_content",
            ]
            let fields = try RequestFields(names, in: body, parser)
            try fields.requireArray(0)
            Self.readLimits(fields, into: &summary)
            summary.goesOnFromStored = fields.isGiven(3) || fields.isGiven(4)
        } else {
            // Tokens can be counted of a whole request as well, which has its contents inside.
            let names: [StaticString] = ["contents", "generateContentRequest", "generate_content_request"]
            let fields = try RequestFields(names, in: body, parser)
            if try fields.range(1) == nil, try fields.range(2) == nil { try fields.requireArray(0) }
        }
        return summary
    }

    /// Fields may be written either way.
    private static func readLimits(_ fields: RequestFields, into summary: inout CallSummary) {
        guard let place = (try? fields.value(1)) ?? (try? fields.value(2)) else { return }
        try? fields.parser.parse(fields.body[place]) { document in
            let config = document.root
            summary.answerTokens = (config["maxOutputTokens"] ?? config["max_output_tokens"])?.int64
            if let count = config["candidateCount"] ?? config["candidate_count"], !count.isNull {
                summary.answers = RequestFields.answers(count.int64)
            }
        }
    }

    package func answer(_ body: [UInt8], _ parser: JSONParser) -> WholeAnswer? {
        let found: WholeAnswer?? = try? parser.parse(body) { document in
            guard document.root.isObject else { return nil }
            var answer = WholeAnswer()
            if let object = document.root["usageMetadata"], object.isObject {
                GeminiUsage.update(&answer.usage, from: object)
                answer.hasUsage = true
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
