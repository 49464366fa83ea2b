import Formats
import Testing

@testable import SimulatorKit

@Suite("Tools of the Anthropic simulator")
struct AnthropicToolTests {
    private static let tools: JSON = [
        [
            "name": "get_weather",
            "input_schema": [
                "type": "object", "properties": ["city": ["type": "string"], "days": ["type": "integer"]],
            ],
        ],
        ["name": "get_time", "input_schema": ["type": "object", "properties": ["zone": ["type": "string"]]]],
    ]

    private func calls(_ plan: AnswerPlan) -> [String] {
        (plan.json["content"]?.array ?? []).filter { $0["type"] == "tool_use" }.compactMap { $0["name"]?.string }
    }

    @Test(
        "tools are called when the text, the choice or a word asks for them",
        arguments: [
            ("Hello", [:], "claude-sim", []),
            ("use tool get_time", [:], "claude-sim", ["get_time"]),
            ("use tool get_time, then use tool get_weather", [:], "claude-sim", ["get_time", "get_weather"]),
            ("use tool get_time and use tool get_time", [:], "claude-sim", ["get_time", "get_time"]),
            ("use tool nothing", [:], "claude-sim", []),
            ("use all tools", [:], "claude-sim", ["get_weather", "get_time"]),
            ("use all tools", ["disable_parallel_tool_use": true, "type": "auto"], "claude-sim", ["get_weather"]),
            ("use all tools", ["type": "none"], "claude-sim", []),
            ("Hello", ["type": "any"], "claude-sim", ["get_weather"]),
            ("Hello", ["type": "tool", "name": "get_time"], "claude-sim", ["get_time"]),
            ("Hello", [:], "claude-sim-tools3", ["get_weather", "get_time", "get_weather"]),
        ] as [(String, JSON, String, [String])]
    )
    func chosen(text: String, choice: JSON, model: String, expected: [String]) {
        let desk = Desk()
        var more: JSON = ["tools": Self.tools]
        if choice != [:] { more["tool_choice"] = choice }
        let plan = desk.ask(Desk.request(model: model, text: .string(text), more))
        #expect(plan.status == 200)
        #expect(calls(plan) == expected)
        #expect(plan.json["stop_reason"] == (expected.isEmpty ? "end_turn" : "tool_use"))
    }

    @Test("arguments fit the schema, and arrive in several pieces when streamed")
    func arguments() throws {
        let desk = Desk()
        let whole = desk.ask(Desk.request(text: "use tool get_weather", ["tools": Self.tools]))
        #expect(whole.json["content"]?[1]?["input"] == ["city": "sim city", "days": 7])
        let streamed = desk.ask(Desk.request(text: "use all tools", stream: true, ["tools": Self.tools]))
        let parts = streamed.events.filter { $0.data["index"] == 1 && $0.data["delta"] != nil }
        #expect(parts.count > 3)
        #expect(parts.first?.data["delta"]?["partial_json"] == "")
        #expect(try JSON(text: streamed.streamed(1, "partial_json")) == ["city": "sim city", "days": 7])
        #expect(try JSON(text: streamed.streamed(2, "partial_json")) == ["zone": "sim zone"])
    }

    @Test("results of calls are repeated in the answer, and each call must have its own")
    func roundTrip() throws {
        let desk = Desk()
        let question = Desk.request(text: "use all tools", ["tools": Self.tools])
        let answer = desk.ask(question)
        let content = try #require(answer.json["content"])
        let ids = (content.array ?? []).compactMap { $0["id"]?.string }
        #expect(ids.count == 2)

        func followUp(_ results: [JSON]) -> JSON {
            question.merged(with: [
                "messages": [
                    ["role": "user", "content": "use all tools"], ["role": "assistant", "content": content],
                    ["role": "user", "content": .array(results)],
                ]
            ])
        }
        func result(_ id: String, _ content: JSON) -> JSON {
            ["type": "tool_result", "tool_use_id": .string(id), "content": content]
        }
        let good = desk.ask(followUp([result(ids[0], "sunny"), result(ids[1], [["type": "text", "text": "noon"]])]))
        let text = try #require(good.json["content"]?[0]?["text"]?.string)
        #expect(text.hasSuffix("Tool results: \(ids[0])=sunny; \(ids[1])=noon;"))
        #expect(good.json["stop_reason"] == "end_turn")

        let missing = desk.ask(followUp([result(ids[0], "sunny")]))
        #expect(missing.status == 400)
        #expect(missing.errorMessage?.contains("without `tool_result` blocks immediately after: \(ids[1])") == true)
        let stray = desk.ask(followUp([result(ids[0], ""), result(ids[1], ""), result("toolu_x", "")]))
        #expect(stray.errorMessage?.contains("unexpected `tool_use_id`") == true)
    }

    @Test("a schema that nests without end makes a bounded sample")
    func deepSchema() {
        var schema: JSON = ["type": "string"]
        for _ in 0..<40 {
            schema = ["type": "object", "properties": ["a": schema, "b": schema, "c": schema]]
            // Three copies a level would be 3^40 values; the text itself must stay small too.
            if schema.encoded.count > 200_000 { break }
        }
        let desk = Desk()
        let plan = desk.ask(
            Desk.request(text: "use tool t", ["tools": [["name": "t", "input_schema": schema]]])
        )
        #expect(plan.status == 200)
        #expect(plan.body.count < 400_000)
    }
}
