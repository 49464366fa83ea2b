package import Domain
package import Formats

/// The Anthropic Messages API as it stands on the wire.
package struct AnthropicWire: WireDialect {
    package init() {}

    package func summary(of request: JSONOutline, _ route: CallRoute) throws -> CallSummary {
        try AnthropicRequest.summary(of: request)
    }

    package func answer(_ body: [UInt8], _ parser: JSONParser) -> WholeAnswer? {
        let found: WholeAnswer?? = try? parser.outline(body) { outline in
            let root = outline.root
            guard root.isObject else { return nil }
            var answer = WholeAnswer()
            if let object = root["usage"], object.isObject {
                answer.hasUsage = AnthropicUsage.update(&answer.usage, &answer.others, from: object)
            }
            answer.isError = root["type"]?.equals("error") ?? false
            answer.modelRange = root.uniqueMember("model").value?.range
            return answer
        }
        return found ?? nil
    }

    package func error(_ body: [UInt8], _ parser: JSONParser) -> UpstreamErrorBody? {
        let found: UpstreamErrorBody?? = try? parser.parse(body) { document in
            guard let error = document.root["error"], let type = error["type"]?.string else { return nil }
            return UpstreamErrorBody(type: type, message: error["message"]?.string ?? "")
        }
        return found ?? nil
    }

    package func makeMeter() -> StreamMeter { AnthropicStreamMeter() }

    package func renaming(_ event: SSEEvent, to model: String, _ parser: JSONParser) -> [UInt8]? {
        guard event.name.isEmpty || event.name.equals("message_start") else { return nil }
        return AnthropicModelName.renaming(event, to: model, parser)
    }

    package func errorBody(_ error: GatewayError, requestID: String) -> [UInt8] {
        AnthropicErrors.body(status: error.status, message: error.message, requestID: requestID)
    }

    package func errorEvent(_ error: GatewayError, requestID: String) -> [UInt8] {
        AnthropicErrors.event(status: error.status, message: error.message, requestID: requestID)
    }

    package var keepAlive: [UInt8] { AnthropicErrors.keepAlive }
}
