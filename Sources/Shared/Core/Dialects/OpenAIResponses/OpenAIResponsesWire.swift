package import Domain
package import Formats

/// OpenAI Responses as they stand on the wire.
package struct OpenAIResponsesWire: WireDialect {
    /// OpenAI's ids are far shorter.
    private static let longestID = 256

    package init() {}

    package func summary(of request: JSONOutline, _ route: CallRoute) throws -> CallSummary {
        let fields = try RequestFields(request)
        let (model, range) = try fields.model()
        let isStream = try fields.flag("stream")
        guard try !fields.flag("background") else {
            throw RequestFields.invalid("background: is not supported", field: "background")
        }
        var previous: String?
        if let value = try fields.value("previous_response_id") {
            guard let id = value.string, (1...Self.longestID).contains(id.utf8.count) else {
                throw RequestFields.invalid(
                    "previous_response_id: must be the id of a response",
                    field: "previous_response_id"
                )
            }
            previous = id
        }
        return CallSummary(
            model: model,
            isStream: isStream,
            modelRange: range,
            previousResponse: previous,
            answerTokens: fields.count("max_output_tokens"),
            goesOnFromStored: previous != nil || fields.isGiven("conversation") || fields.isGiven("prompt"),
            tier: try fields.tier("service_tier")
        )
    }

    package func answer(_ body: [UInt8], _ parser: JSONParser) -> WholeAnswer? {
        let found: WholeAnswer?? = try? parser.parse(body) { document in
            guard document.root.isObject else { return nil }
            var answer = WholeAnswer()
            answer.hasUsage = Self.readUsage(of: document.root, &answer.usage)
            answer.isError = document.root["error"].map { !$0.isNull } ?? false
            answer.modelRange = document.locateTopLevel("model").value
            answer.id = document.root["id"]?.string
            return answer
        }
        return found ?? nil
    }

    /// Returns whether there was any.
    static func readUsage(of response: JSONValue, _ usage: inout TokenUsage) -> Bool {
        guard let reported = response["usage"], reported.isObject,
            OpenAIUsage.update(&usage, fromResponse: reported, of: response)
        else { return false }
        var searches: Int64 = 0
        response["output"]?.forEachElement { item in
            if isSearch(item) { searches += 1 }
        }
        usage.webSearches = searches
        return true
    }

    /// Whether an item is a search that is paid for: pages that a model opens, and looks for words in, are told in items of
    /// the same type, and cost their tokens alone (OpenAI's guide to web search: Output and citations, Pricing).
    static func isSearch(_ item: JSONValue) -> Bool {
        guard item["type"]?.equals("web_search_call") == true else { return false }
        return item["action"]?["type"].map { $0.equals("search") } ?? true
    }

    package func error(_ body: [UInt8], _ parser: JSONParser) -> UpstreamErrorBody? { OpenAIErrors.read(body, parser) }

    package func makeMeter() -> StreamMeter { OpenAIResponsesMeter() }

    /// Only events that carry the whole response name the model.
    package func renaming(_ event: SSEEvent, to model: String, _ parser: JSONParser) -> [UInt8]? {
        guard event.name.isEmpty || OpenAIResponsesMeter.carriesResponse(event.name) else { return nil }
        return EventRenaming.rename(event, at: ["response", "model"], to: model, parser)
    }

    package func errorBody(_ error: GatewayError, requestID: String) -> [UInt8] { OpenAIErrors.body(error) }

    package func errorEvent(_ error: GatewayError, requestID: String) -> [UInt8] {
        var json = JSONWriter(capacity: 160 + error.message.utf8.count)
        json.object {
            $0.member("type", "error")
            $0.member("code", error.code.rawValue)
            $0.member("message", error.message)
            $0.member("param", error.field)
            $0.member("sequence_number", 0)
        }
        var out: [UInt8] = []
        SSEWriter.append(event: "error", data: json.bytes, to: &out)
        return out
    }

    package var keepAlive: [UInt8] { OpenAIChatWire.comment }
}
