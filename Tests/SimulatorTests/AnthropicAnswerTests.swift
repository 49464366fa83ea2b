import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

@Suite("Anthropic answers")
struct AnthropicAnswerTests {
    @Test("the text names the request's digest and repeats the user's last words")
    func echo() {
        let desk = Desk()
        let body = Desk.request(text: "Zwölf \"Boxer\" 🥊\n")
        let plan = desk.ask(body)
        #expect(plan.status == 200)
        let expected = "[sim \(Digest(body.encoded).hex)] Zwölf \"Boxer\" 🥊\n"
        #expect(plan.json["content"] == [["type": "text", "text": .string(expected)]])
        #expect(plan.json["model"] == "claude-sim")
        #expect(plan.json["role"] == "assistant")
        #expect(plan.json["stop_reason"] == "end_turn")
        #expect(plan.json["stop_sequence"] == .null)
    }

    @Test("the same request has the same answer; its headers number the call")
    func deterministic() {
        for stream in [false, true] {
            let desk = Desk()
            let first = desk.ask(model: "claude-sim-e20", stream: stream)
            let second = desk.ask(model: "claude-sim-e20", stream: stream)
            #expect(first.body == second.body)
            #expect(first.head?.headers["request-id"] != second.head?.headers["request-id"])
        }
    }

    @Test("a stream has the API's events in the API's order")
    func events() {
        let desk = Desk()
        let plan = desk.ask(model: "claude-sim-e3", stream: true)
        #expect(plan.head?.headers["content-type"] == "text/event-stream; charset=utf-8")
        #expect(
            plan.eventNames == [
                "message_start", "content_block_start", "ping", "content_block_delta", "content_block_delta",
                "content_block_delta", "content_block_stop", "message_delta", "message_stop",
            ]
        )
        #expect(plan.events.allSatisfy { $0.data["type"]?.string == $0.name })
        let start = plan.events[0].data["message"]
        #expect(start?["content"] == [])
        #expect(start?["stop_reason"] == .null)
        #expect(start?["usage"]?["output_tokens"] == 1)
        #expect(plan.events[7].data["delta"]?["stop_reason"] == "end_turn")
    }

    @Test(
        "streamed and whole answers say the same and cost the same",
        arguments: [
            "claude-sim", "claude-sim-e50", "claude-sim-b1", "claude-sim-b10000-e7", "claude-sim-tools2",
        ]
    )
    func streamedEqualsWhole(model: String) {
        let desk = Desk()
        let tools: JSON = ["tools": [["name": "a", "input_schema": ["type": "object"]]]]
        let whole = desk.ask(Desk.request(model: model, text: "ü🥊 use it", tools))
        let streamed = desk.ask(Desk.request(model: model, text: "ü🥊 use it", stream: true, tools))
        for (index, block) in (whole.json["content"]?.array ?? []).enumerated() where block["type"] == "text" {
            // The digests differ, because `stream` is part of the body.
            #expect(streamed.streamed(index, "text").utf8.count == block["text"]?.string?.utf8.count)
        }
        #expect(whole.usage.last?.total.output == streamed.usage.last?.total.output)
        #expect(streamed.usage.last?.total == streamed.usage(after: streamed.body.count))
    }

    @Test("events and bytes are as many as the words say", arguments: [(1, 40), (7, 100), (100, 100), (1000, 64_000)])
    func sizes(events: Int, bytes: Int) {
        let desk = Desk()
        let plan = desk.ask(model: "claude-sim-e\(events)-b\(bytes)", stream: true)
        #expect(plan.contentEvents == events)
        #expect(plan.streamed(0, "text").utf8.count == bytes)
    }

    @Test("max_tokens cuts the echo, unless words ask for a length")
    func maxTokens() {
        let desk = Desk()
        let short = desk.ask(Desk.request(text: "a long text, longer than eight tokens are", ["max_tokens": 8]))
        #expect(short.json["stop_reason"] == "max_tokens")
        #expect(short.json["usage"]?["output_tokens"] == 8)
        let long = desk.ask(Desk.request(model: "claude-sim-b4000", ["max_tokens": 8]))
        #expect(long.json["stop_reason"] == "end_turn")
        #expect(long.json["usage"]?["output_tokens"] == 1000)
    }

    @Test("the earliest stop sequence ends the text before it")
    func stopSequences() {
        let desk = Desk()
        let plan = desk.ask(Desk.request(text: "one STOP two END", ["stop_sequences": ["END", "STOP"]]))
        #expect(plan.json["stop_reason"] == "stop_sequence")
        #expect(plan.json["stop_sequence"] == "STOP")
        #expect(plan.json["content"]?[0]?["text"]?.string?.hasSuffix("] one ") == true)
    }

    @Test("thinking comes first and its signature must come back with it")
    func thinking() throws {
        let desk = Desk()
        let on: JSON = ["max_tokens": 4096, "thinking": ["type": "enabled", "budget_tokens": 2048]]
        let plan = desk.ask(Desk.request(on))
        let block = try #require(plan.json["content"]?[0])
        #expect(block["type"] == "thinking")
        #expect(plan.json["content"]?[1]?["type"] == "text")

        let streamed = desk.ask(Desk.request(stream: true, on))
        #expect(streamed.streamed(0, "thinking").hasPrefix("Thinking [sim "))
        #expect(streamed.streamed(0, "signature") == Generation.signature(of: streamed.streamed(0, "thinking")))
        #expect(streamed.events.contains { $0.data["delta"]?["type"] == "signature_delta" })

        func followUp(_ block: JSON) -> JSON {
            let messages: JSON = [
                ["role": "user", "content": "Hello"], ["role": "assistant", "content": [block]],
                ["role": "user", "content": "Go on"],
            ]
            return Desk.request(on.merged(with: ["messages": messages]))
        }
        #expect(desk.ask(followUp(block)).status == 200)
        var changed = block
        changed["thinking"] = "Something else"
        let refused = desk.ask(followUp(changed))
        #expect(refused.status == 400)
        #expect(refused.errorMessage == "messages.1.content.0: Invalid `signature` in `thinking` block")
    }

    @Test("thinking that is not to be shown has a signature only, and is counted all the same")
    func hiddenThinking() {
        let desk = Desk()
        let plan = desk.ask(Desk.request(stream: true, ["thinking": ["type": "adaptive", "display": "omitted"]]))
        #expect(plan.streamed(0, "thinking").isEmpty)
        #expect(plan.streamed(0, "signature") == Generation.signature(of: ""))
        let usage = plan.events.first { $0.name == "message_delta" }?.data["usage"]
        #expect((usage?["output_tokens_details"]?["thinking_tokens"]?.int ?? 0) > 8)
    }

    @Test("max_tokens of zero fills the cache and says nothing")
    func warming() {
        let desk = Desk()
        for stream in [false, true] {
            let plan = desk.ask(Desk.request(stream: stream, ["max_tokens": 0]))
            #expect(plan.status == 200)
            #expect(plan.contentEvents == 0)
            #expect(plan.usage.last?.total.output == 0)
        }
    }

    @Test("a system message between two turns changes neither")
    func systemMessage() {
        let desk = Desk()
        let plan = desk.ask(
            Desk.request([
                "messages": [["role": "user", "content": "Hello"], ["role": "system", "content": "Be brief"]]
            ])
        )
        #expect(plan.json["content"]?[0]?["text"]?.string?.hasSuffix("] Hello") == true)
    }

    @Test("a schema asked for is answered with a value that fits it")
    func structured() throws {
        let desk = Desk()
        let schema: JSON = [
            "type": "object",
            "properties": [
                "name": ["type": "string"], "size": ["type": "integer"], "kind": ["enum": ["x", "y"]],
                "tags": ["type": "array", "items": ["type": "boolean"]], "rest": ["type": ["null", "string"]],
            ],
        ]
        let plan = desk.ask(Desk.request(["output_config": ["format": ["type": "json_schema", "schema": schema]]]))
        let text = try #require(plan.json["content"]?[0]?["text"]?.string)
        #expect(try JSON(text: text) == ["name": "sim name", "size": 7, "kind": "x", "tags": [true], "rest": .null])
    }

    @Test("count_tokens counts the prompt, and the models are listed in pages")
    func otherRoutes() {
        let desk = Desk()
        let count = desk.send(
            "POST",
            "/v1/messages/count_tokens",
            Desk.key,
            (["model": "m", "messages": [["role": "user", "content": "12345678"]]] as JSON).encoded
        )
        #expect(count.json == ["input_tokens": 2])

        let first = desk.send("GET", "/v1/models?limit=2")
        #expect(first.json["data"]?.array?.count == 2)
        #expect(first.json["has_more"] == true)
        let last = first.json["last_id"]?.string ?? ""
        let rest = desk.send("GET", "/v1/models?after_id=\(last)")
        #expect(rest.json["has_more"] == false)
        #expect(rest.json["data"]?.array?.isEmpty == false)
        #expect(desk.send("GET", "/v1/models?limit=0").status == 400)
        let one = desk.send("GET", "/v1/models/any%20name")
        #expect(one.json["id"] == "any name")
    }

    @Test("answers tell an API key its limits and a subscription its windows")
    func limits() {
        let desk = Desk()
        let byKey = desk.ask(model: "claude-sim")
        #expect(byKey.head?.headers["anthropic-ratelimit-requests-remaining"] == "3999")
        #expect(byKey.head?.headers.contains("anthropic-ratelimit-unified-status") == false)
        #expect(byKey.head?.headers["anthropic-organization-id"]?.hasPrefix("00000000-0000-4000-8000-") == true)
        let byToken = desk.send(
            "POST",
            "/v1/messages",
            ["authorization": "bearer sk-ant-oat01-x", "anthropic-version": "2023-06-01"],
            Desk.request().encoded
        )
        #expect(byToken.status == 200)
        #expect(byToken.head?.headers["anthropic-ratelimit-unified-5h-status"] == "allowed")
        #expect(byToken.head?.headers.contains("anthropic-ratelimit-requests-limit") == false)
    }
}
