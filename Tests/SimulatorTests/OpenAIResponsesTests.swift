import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

@Suite("The OpenAI responses simulator")
struct OpenAIResponsesTests {
    private static let bearer: HeaderFields = ["authorization": "Bearer sk-proj"]
    private static let tools: JSON = [["type": "function", "name": "t", "parameters": ["type": "object"]]]

    private func ask(
        _ desk: Desk,
        _ more: JSON = [:],
        path: String = "/v1/responses",
        key: String = "sk-proj"
    ) -> AnswerPlan {
        let body: JSON = ["model": "gpt-sim", "input": "Hello"]
        return desk.send("POST", path, ["authorization": "Bearer \(key)"], body.merged(with: more).encoded)
    }

    @Test("a stream has every event, in order")
    func events() {
        let plan = ask(Desk(), ["model": "gpt-sim-e2-ws1", "stream": true, "reasoning": ["summary": "auto"]])
        let names = plan.eventNames.map { $0.replacing("response.", with: "") }
        let search = ["in_progress", "searching", "completed"].map { "web_search_call.\($0)" }
        let summary = ["reasoning_summary_part.added"] + Array(repeating: "reasoning_summary_text.delta", count: 2)
        #expect(names.starts(with: ["created", "in_progress", "output_item.added"] + search + ["output_item.done"]))
        let rest = Array(names.dropFirst(7))
        #expect(rest.starts(with: ["output_item.added"] + summary))
        #expect(
            rest.suffix(9) == [
                "output_item.done", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
                "output_text.done", "content_part.done", "output_item.done", "completed",
            ]
        )
        #expect(plan.events.allSatisfy { $0.data["type"]?.string == $0.name })
        #expect(plan.events.first?.data["response"]?["usage"] == .null)
        #expect(plan.usage(after: plan.body.count).webSearches == 1)
    }

    @Test("a stored answer is read again and continued by its own key only")
    func stored() throws {
        let desk = Desk()
        let first = ask(desk, ["tools": Self.tools, "tool_choice": "required"])
        let id = try #require(first.json["id"]?.string)
        let call = try #require(first.json["output"]?.array?.last?["call_id"]?.string)
        #expect(desk.send("GET", "/v1/responses/\(id)", Self.bearer).json == first.json)
        #expect(desk.send("GET", "/v1/responses/\(id)", ["authorization": "Bearer other"]).status == 404)
        let output: JSON = ["type": "function_call_output", "call_id": .string(call), "output": "sunny"]
        func follow(_ input: JSON, key: String = "sk-proj") -> AnswerPlan {
            ask(desk, ["previous_response_id": .string(id), "input": input], key: key)
        }
        let second = follow([output])
        let text = second.json["output"]?[0]?["content"]?[0]?["text"]?.string
        #expect(text?.hasSuffix("\(call)=sunny;") == true)
        #expect(second.json["previous_response_id"]?.string == id)
        #expect((second.json["usage"]?["input_tokens"]?.int ?? 0) > (first.json["usage"]?["input_tokens"]?.int ?? 0))
        #expect(follow("Hello").errorMessage == "No tool output found for function call \(call).")
        #expect(follow([output], key: "other").json["error"]?["code"] == "previous_response_not_found")
        let kept = ask(desk, ["store": false, "input": "unkept"]).json["id"]?.string ?? ""
        #expect(desk.send("GET", "/v1/responses/\(kept)", Self.bearer).status == 404)
        #expect(desk.send("DELETE", "/v1/responses/\(id)", Self.bearer).json["deleted"] == true)
        #expect(desk.send("GET", "/v1/responses/\(id)", Self.bearer).status == 404)
    }

    @Test("reasoning comes with what lets it be sent back, and must come back unchanged")
    func reasoning() throws {
        let desk = Desk()
        let plan = ask(
            desk,
            ["reasoning": ["effort": "high", "summary": "auto"], "include": ["reasoning.encrypted_content"]]
        )
        let items = try #require(plan.json["output"]?.array)
        #expect(items[0]["type"] == "reasoning")
        #expect(items[0]["encrypted_content"]?.string != nil)
        #expect((plan.json["usage"]?["output_tokens_details"]?["reasoning_tokens"]?.int ?? 0) > 0)
        let user: JSON = ["role": "user", "content": "Go on"]
        #expect(ask(desk, ["input": .array(items + [user])]).status == 200)
        var forged = items[0]
        forged["encrypted_content"] = "gAAA"
        let refused = ask(desk, ["input": .array([forged, user])])
        #expect(refused.json["error"]?["code"] == "invalid_encrypted_content")
        let silent = ask(desk, ["reasoning": ["effort": "low"]]).json["output"]?[0]
        #expect(silent?["summary"] == [])
    }

    @Test("a limit makes an answer incomplete, a refusal has its own part, a schema is answered")
    func endings() throws {
        let desk = Desk()
        let long = JSON.string(String(repeating: "long ", count: 50))
        let short = ask(desk, ["input": long, "max_output_tokens": 16, "stream": true])
        #expect(short.eventNames.last == "response.incomplete")
        let response = short.events.last?.data["response"]
        #expect(response?["incomplete_details"]?["reason"] == "max_output_tokens")
        let refusal = ask(desk, ["model": "gpt-sim-refuse", "stream": true])
        #expect(refusal.eventNames.contains("response.refusal.delta"))
        let schema: JSON = ["type": "object", "properties": ["n": ["type": "integer"]]]
        let plan = ask(desk, ["text": ["format": ["type": "json_schema", "name": "x", "schema": schema]]])
        let text = try #require(plan.json["output"]?[0]?["content"]?[0]?["text"]?.string)
        #expect(try JSON(text: text) == ["n": 7])
    }

    @Test(
        "a bad body is refused with its parameter",
        arguments: [
            (["model": .null], .null), (["input": .null], "input"), (["input": []], "input"),
            (["max_output_tokens": 4], "max_output_tokens"),
            (["input": [["role": "x", "content": ""]]], "input[0].role"),
            (["input": [["role": "user", "content": [["type": "x"]]]]], "input[0].content[0].type"),
            (["input": [["type": "function_call_output", "call_id": "c", "output": ""]]], "input"),
            (["previous_response_id": "resp_x"], "previous_response_id"), (["tools": [["name": "x"]]], "tools[0].type"),
        ] as [(JSON, JSON)]
    )
    func refused(change: JSON, param: JSON) {
        let plan = ask(Desk(), change)
        #expect(plan.status == 400)
        #expect(plan.json["error"]?["param"] == param)
    }

    @Test("the backend of subscriptions asks for more, and tells how much is used")
    func subscription() {
        let desk = Desk()
        let path = "/backend-api/codex/responses"
        let good: JSON = [
            "instructions": "Be brief.", "store": false, "stream": true,
            "input": [["role": "user", "content": "Hello"]],
        ]
        let plan = ask(desk, good, path: path)
        #expect(plan.status == 200)
        #expect(plan.head?.headers["x-codex-primary-used-percent"] == "42")
        #expect(plan.head?.headers["x-codex-secondary-window-minutes"] == "10080")
        #expect(plan.head?.headers["x-ratelimit-limit-requests"] == nil)
        for (change, detail) in [
            (["store": true], "Store must be set to false"), (["stream": false], "Stream must be set to true"),
            (["instructions": .null], "Instructions are required"), (["input": "x"], "Input must be a list"),
            (["max_output_tokens": 100], "Unsupported parameter: max_output_tokens"),
        ] as [(JSON, JSON)] {
            let refused = ask(desk, good.merged(with: change), path: path)
            #expect(refused.status == 400)
            #expect(refused.json == ["detail": detail])
        }
        desk.state.credentials.revoked = ["bad"]
        #expect(ask(desk, good, path: path, key: "bad").json == ["detail": "Unauthorized"])
        let failed = ask(desk, good.merged(with: ["model": "gpt-sim-e4-errevent1"]), path: path)
        #expect(failed.eventNames.last == "response.failed")
        let usage = desk.send("GET", "/backend-api/wham/usage", Self.bearer).json
        #expect(usage["rate_limit"]?["primary_window"]?["used_percent"] == 42)
    }

    @Test("an error after content goes on with the numbers of the events", arguments: [0, 3])
    func errorEvent(after: Int) {
        let plan = ask(Desk(), ["model": .string("gpt-sim-e6-errevent\(after)"), "stream": true])
        #expect(plan.eventNames.last == "error")
        #expect(plan.events.map { $0.data["sequence_number"]?.int } == Array(0..<plan.events.count))
    }
}
