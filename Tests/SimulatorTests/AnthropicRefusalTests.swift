import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

@Suite("What the Anthropic simulator refuses")
struct AnthropicRefusalTests {
    @Test(
        "a body is refused with the API's own message",
        arguments: [
            ("", "The request body is not valid JSON"), ("{", "The request body is not valid JSON"),
            (#"{"a":"\#u{1}"}"#, "The request body is not valid JSON"), ("[]", "Input should be an object"),
            ("{}", "model: Field required"), (#"{"model":1}"#, "model: Input should be a valid string"),
            (#"{"model":""}"#, "model: String should have at least 1 character"),
            (#"{"model":"m"}"#, "max_tokens: Field required"),
            (#"{"model":"m","max_tokens":"1"}"#, "max_tokens: Input should be a valid integer"),
            (#"{"model":"m","max_tokens":-1}"#, "max_tokens: must be greater than or equal to 0"),
            (#"{"model":"m","max_tokens":1}"#, "messages: Field required"),
            (#"{"model":"m","max_tokens":1,"messages":{}}"#, "messages: Input should be a valid list"),
            (#"{"model":"m","max_tokens":1,"messages":[]}"#, "messages: at least one message is required"),
            (#"{"model":"m","max_tokens":1,"messages":[1]}"#, "messages.0: Input should be an object"),
            (#"{"model":"m","max_tokens":1,"messages":[{"content":"x"}]}"#, "messages.0.role: Field required"),
            (
                #"{"model":"m","max_tokens":1,"messages":[{"role":"tool","content":"x"}]}"#,
                "messages.0.role: Input should be 'user', 'assistant' or 'system'"
            ),
            (#"{"model":"m","max_tokens":1,"messages":[{"role":"user"}]}"#, "messages.0.content: Field required"),
            (
                #"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":""}]}"#,
                "messages.0: all messages must have non-empty content except for the optional final assistant message"
            ),
            (
                #"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"text":"x"}]}]}"#,
                "messages.0.content.0.type: Field required"
            ),
            (
                #"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":""}]}]}"#,
                "messages: text content blocks must be non-empty"
            ),
            (
                #"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]}"#,
                "messages.0.content.0.source: Field required"
            ),
            (
                #"{"model":"m","max_tokens":1,"stream":"yes","messages":[{"role":"user","content":"x"}]}"#,
                "stream: Input should be a valid boolean"
            ),
            (
                #"{"model":"m","max_tokens":1,"temperature":2,"messages":[{"role":"user","content":"x"}]}"#,
                "temperature: range: 0..1"
            ),
            (
                #"{"model":"m","max_tokens":1,"thinking":{"type":"enabled","budget_tokens":5},"messages":[]}"#,
                "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
            ),
            (
                #"{"model":"m","max_tokens":1,"tools":[{"name":"t"}],"messages":[{"role":"user","content":"x"}]}"#,
                "tools.0.custom.input_schema: Field required"
            ),
            (
                #"{"model":"m","max_tokens":1,"tool_choice":{"type":"tool","name":"t"},"messages":[{"role":"user","content":"x"}]}"#,
                "Tool 't' not found in provided tools"
            ),
        ]
    )
    func bodies(body: String, message: String) {
        let desk = Desk()
        let plan = desk.send("POST", "/v1/messages", Desk.key, Array(body.utf8))
        #expect(plan.status == 400)
        #expect(plan.json["type"] == "error")
        #expect(plan.errorType == "invalid_request_error")
        #expect(plan.errorMessage == message)
        #expect(plan.json["request_id"]?.string == plan.head?.headers["request-id"])
    }

    @Test("credentials are wanted before all else, then the version")
    func heads() {
        let desk = Desk()
        func error(_ headers: HeaderFields) -> String? {
            let plan = desk.send("POST", "/v1/messages", headers, [])
            return "\(plan.status ?? 0) \(plan.errorType ?? "") \(plan.errorMessage ?? "")"
        }
        #expect(error([:]) == "401 authentication_error x-api-key header is required")
        #expect(error(["x-api-key": ""]) == "401 authentication_error x-api-key header is required")
        #expect(error(["authorization": "Basic x"]) == "401 authentication_error x-api-key header is required")
        let body = Desk.request().encoded
        let unversioned = desk.send("POST", "/v1/messages", ["x-api-key": "k"], body)
        #expect(unversioned.errorMessage == "anthropic-version: header is required")
        let twice: HeaderFields = [
            "x-api-key": "k", "anthropic-version": "2023-06-01", "Anthropic-Version": "2023-06-01",
        ]
        #expect(
            desk.send("POST", "/v1/messages", twice, body).errorMessage
                == "anthropic-version: \"2023-06-01, 2023-06-01\" is not a valid version"
        )
    }

    @Test(
        "the version of 2026 refuses what the one before accepts",
        arguments: [
            (["temperature": 1.0], "temperature: Extra inputs are not permitted"),
            (["top_p": 0.5], "top_p: Extra inputs are not permitted"),
            (["top_k": 40], "top_k: Extra inputs are not permitted"),
            (
                ["messages": [["role": "user", "content": [["type": "text", "text": "x", "citations": [["a": 1]]]]]]],
                "messages.0.content.0.text.citations: Extra inputs are not permitted"
            ),
            (
                [
                    "messages": [
                        ["role": "user", "content": "x"],
                        [
                            "role": "assistant",
                            "content": [["type": "document", "source": ["type": "text", "data": "y"]]],
                        ],
                    ]
                ],
                "messages.1.content.0: `document` blocks can only be in `user` messages"
            ),
        ] as [(JSON, String)]
    )
    func versions(more: JSON, message: String) {
        let desk = Desk()
        let body = Desk.request(more).encoded
        #expect(desk.send("POST", "/v1/messages", Desk.key, body).status == 200)
        let current: HeaderFields = ["x-api-key": "k", "anthropic-version": "2026-10-21"]
        let plan = desk.send("POST", "/v1/messages", current, body)
        #expect(plan.status == 400)
        #expect(plan.errorMessage == message)
    }

    @Test("only good credentials pass, once some are named or revoked")
    func credentials() {
        let desk = Desk()
        desk.state.credentials.valid = ["a", "b"]
        desk.state.credentials.revoked = ["b"]
        #expect(desk.ask(model: "m", key: "a").status == 200)
        for key in ["b", "c"] {
            let plan = desk.ask(model: "m", key: key)
            #expect(plan.status == 401)
            #expect(plan.errorMessage == "invalid x-api-key")
        }
    }

    @Test("unknown paths, wrong methods and oversized bodies have their own answers")
    func routes() {
        let desk = Desk()
        #expect(desk.send("GET", "/v1/nothing").status == 404)
        #expect(desk.send("GET", "/v1/models/").status == 404)
        #expect(desk.send("GET", "/v1/messages").status == 405)
        #expect(desk.send("POST", "/v1/models").status == 405)
        let large = desk.send("POST", "/v1/messages", Desk.key, nil)
        #expect(large.status == 413)
        #expect(large.errorType == "request_too_large")
    }

    @Test("unknown members and blocks are accepted, images and documents counted")
    func accepted() {
        let desk = Desk()
        let content: JSON = [
            ["type": "image", "source": ["type": "base64", "media_type": "image/png", "data": "AAAA"]],
            ["type": "document", "source": ["type": "text", "media_type": "text/plain", "data": "12345678"]],
            ["type": "from_the_future", "x": 1], ["type": "text", "text": "Hi", "new": []],
        ]
        let plan = desk.ask(Desk.request(text: content, ["unheard_of": ["a": 1]]))
        #expect(plan.status == 200)
        let future = (["type": "from_the_future", "x": 1] as JSON).encoded.count
        #expect(plan.json["usage"]?["input_tokens"]?.int == (4000 + 8 + future + 2 + 3) / 4)
    }

    @Test("no cut of a body crashes it")
    func truncated() {
        let desk = Desk()
        let messages: JSON = [
            ["role": "user", "content": [["type": "text", "text": "ü", "cache_control": ["type": "ephemeral"]]]],
            ["role": "assistant", "content": [["type": "tool_use", "id": "t", "name": "n", "input": ["a": 1]]]],
            ["role": "user", "content": [["type": "tool_result", "tool_use_id": "t", "content": "x"]]],
        ]
        let whole = Desk.request(["messages": messages, "tools": [["name": "n", "input_schema": [:]]]]).encoded
        for end in whole.indices {
            #expect(desk.send("POST", "/v1/messages", Desk.key, Array(whole[..<end])).status == 400)
        }
        #expect(desk.send("POST", "/v1/messages", Desk.key, whole).status == 200)
    }
}
