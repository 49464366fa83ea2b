import Formats
import HTTPMessages

@testable import SimulatorKit

/// A simulator without sockets: its platforms, their state, and a clock that stands still.
final class Desk {
    let platforms = PlatformRegistry.all()
    let parser = JSONParser()
    var state = SimulatorState()
    var now: Int64 = 1_800_000_000_000_000

    static let key: HeaderFields = ["x-api-key": "sk-ant-test", "anthropic-version": "2023-06-01"]

    func send(
        _ method: String,
        _ target: String,
        _ headers: HeaderFields = Desk.key,
        _ body: [UInt8]? = []
    ) -> AnswerPlan {
        let head = HTTPRequestHead(method: method, target: target, headers: headers)
        guard let platform = platforms.first(where: { $0.serves(head) }) else { return AnswerPlan(0, [:], body: []) }
        return platform.answer(
            SimulatedCall(head: head, body: body, sequence: state.nextSequence(), now: now),
            &state,
            parser
        )
    }

    func ask(_ body: JSON, key: String = "sk-ant-test") -> AnswerPlan {
        var headers = Desk.key
        headers.set("x-api-key", key)
        return send("POST", "/v1/messages", headers, body.encoded)
    }

    /// A call with the text "Hello".
    func ask(model: String, stream: Bool = false, key: String = "sk-ant-test") -> AnswerPlan {
        ask(Desk.request(model: model, stream: stream), key: key)
    }

    static func request(
        model: String = "claude-sim",
        text: JSON = "Hello",
        stream: Bool = false,
        _ more: JSON = [:]
    ) -> JSON {
        let body: JSON = [
            "model": .string(model), "max_tokens": 1024, "stream": .bool(stream),
            "messages": [["role": "user", "content": text]],
        ]
        return body.merged(with: more)
    }
}

extension AnswerPlan {
    var status: Int? { head?.status }
    var json: JSON { (try? JSON(body)) ?? .null }
    var text: String { String(decoding: body, as: UTF8.self) }
    var errorType: String? { json["error"]?["type"]?.string }
    var errorMessage: String? { json["error"]?["message"]?.string }

    /// The events of a streamed body, by name and data.
    var events: [(name: String, data: JSON)] {
        var found: [(String, JSON)] = []
        var sse = SSEParser()
        func take(_ event: SSEEvent) {
            guard event.isComplete, event.hasData else { return }
            let data = (try? JSON(Array(event.data))) ?? .null
            found.append((String(decoding: event.name, as: UTF8.self), data))
        }
        try? sse.feed(body, take)
        _ = try? sse.finish(take)
        return found
    }

    var eventNames: [String] { events.map(\.name) }

    /// What the deltas of a block add up to.
    func streamed(_ index: Int, _ field: String) -> String {
        events.filter { $0.data["index"]?.int == index }.compactMap { $0.data["delta"]?[field]?.string }.joined()
    }

    var contentEvents: Int { eventNames.filter { $0 == "content_block_delta" }.count }
}
