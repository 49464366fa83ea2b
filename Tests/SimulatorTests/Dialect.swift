import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

/// The wire formats of the simulator, each asked for the same things, so that one test holds for all.
enum Dialect: String, CaseIterable, CustomTestStringConvertible, Sendable {
    case anthropic, chat, responses, gemini, geminiArray, bedrock, antigravity, antigravityKey

    var testDescription: String { rawValue }

    /// A request for an answer.
    struct Question {
        var model = "claude-sim"
        var text = "Hello"
        var isStream = false
        /// Offers `get_weather` (city, days) and `get_time` (zone).
        var hasTools = false
        var isThinking = false
        var stop: [String] = []
        var maxTokens = 1024
        var key = "sk-sim"
    }

    /// The texts, calls and figures of an answer.
    struct Reading: Equatable {
        var text = ""
        var thinking = ""
        /// Names and arguments.
        var calls: [JSON] = []
        var stopReason: String?
        /// Events of text.
        var textEvents = 0
    }

    static let weather: JSON = [
        "type": "object", "properties": ["city": ["type": "string"], "days": ["type": "integer"]],
    ]
    static let time: JSON = ["type": "object", "properties": ["zone": ["type": "string"]]]

    var stopReasons: (end: String, length: String, tools: String, stop: String) {
        switch self {
        case .anthropic, .bedrock, .antigravityKey: ("end_turn", "max_tokens", "tool_use", "stop_sequence")
        case .chat: ("stop", "length", "tool_calls", "stop")
        case .responses: ("completed", "incomplete", "completed", "completed")
        case .gemini, .geminiArray, .antigravity: ("STOP", "MAX_TOKENS", "STOP", "STOP")
        }
    }

    /// The status for a key that is not good: Google calls it a bad argument, AWS forbids.
    var refusedKeyStatus: Int {
        switch self {
        case .anthropic, .chat, .responses, .antigravity, .antigravityKey: 401
        case .gemini, .geminiArray: 400
        case .bedrock: 403
        }
    }

    var hasStopSequences: Bool { self != .responses }

    // MARK: Asking

    func request(_ question: Question) -> (head: HTTPRequestHead, body: [UInt8]) {
        func post(_ target: String, _ headers: HeaderFields, _ body: JSON) -> (HTTPRequestHead, [UInt8]) {
            (HTTPRequestHead(method: "POST", target: target, headers: headers), body.encoded)
        }
        switch self {
        case .anthropic, .antigravityKey:
            return post(
                self == .anthropic ? "/v1/messages" : "/antigravity/v1/messages",
                ["x-api-key": question.key, "anthropic-version": "2023-06-01"],
                Self.messages(question)
            )
        case .chat:
            return post("/v1/chat/completions", ["authorization": "Bearer \(question.key)"], Self.chat(question))
        case .responses:
            return post("/v1/responses", ["authorization": "Bearer \(question.key)"], Self.responses(question))
        case .antigravity:
            let method = question.isStream ? "streamGenerateContent?alt=sse" : "generateContent"
            return post(
                "/v1internal:\(method)",
                ["authorization": "Bearer \(question.key)"],
                ["model": .string(question.model), "project": "sim-project", "request": Self.contents(question)]
            )
        case .bedrock:
            var body = Self.messages(question)
            body["model"] = nil
            body["stream"] = nil
            body["anthropic_version"] = "bedrock-2023-05-31"
            let action = question.isStream ? "invoke-with-response-stream" : "invoke"
            return post("/model/\(question.model)/\(action)", ["authorization": "Bearer \(question.key)"], body)
        case .gemini, .geminiArray:
            let method = question.isStream ? "streamGenerateContent" : "generateContent"
            let alt = question.isStream && self == .gemini ? "?alt=sse" : ""
            return post(
                "/v1beta/models/\(question.model):\(method)\(alt)",
                ["x-goog-api-key": question.key],
                Self.contents(question)
            )
        }
    }

    static func messages(_ question: Question) -> JSON {
        var body = Desk.request(
            model: question.model,
            text: .string(question.text),
            stream: question.isStream,
            ["max_tokens": .int(Int64(question.maxTokens))]
        )
        if question.hasTools {
            body["tools"] = [
                ["name": "get_weather", "input_schema": weather], ["name": "get_time", "input_schema": time],
            ]
        }
        if question.isThinking { body["thinking"] = ["type": "adaptive"] }
        if !question.stop.isEmpty { body["stop_sequences"] = .array(question.stop.map { .string($0) }) }
        return body
    }

    private static func chat(_ question: Question) -> JSON {
        func tool(_ name: String, _ schema: JSON) -> JSON {
            ["type": "function", "function": ["name": .string(name), "parameters": schema]]
        }
        var body: JSON = [
            "model": .string(question.model), "max_completion_tokens": .int(Int64(question.maxTokens)),
            "messages": [["role": "user", "content": .string(question.text)]],
        ]
        if question.isStream { body = body.merged(with: ["stream": true, "stream_options": ["include_usage": true]]) }
        if question.hasTools { body["tools"] = [tool("get_weather", weather), tool("get_time", time)] }
        if question.isThinking { body["reasoning_effort"] = "high" }
        if !question.stop.isEmpty { body["stop"] = .array(question.stop.map { .string($0) }) }
        return body
    }

    private static func responses(_ question: Question) -> JSON {
        func tool(_ name: String, _ schema: JSON) -> JSON {
            ["type": "function", "name": .string(name), "parameters": schema]
        }
        var body: JSON = [
            "model": .string(question.model), "max_output_tokens": .int(Int64(question.maxTokens)),
            "input": [["role": "user", "content": [["type": "input_text", "text": .string(question.text)]]]],
            "stream": .bool(question.isStream),
        ]
        if question.hasTools { body["tools"] = [tool("get_weather", weather), tool("get_time", time)] }
        if question.isThinking { body["reasoning"] = ["effort": "high", "summary": "auto"] }
        return body
    }

    static func contents(_ question: Question) -> JSON {
        var config: JSON = [
            "maxOutputTokens": .int(Int64(question.maxTokens)),
            "stopSequences": .array(question.stop.map { .string($0) }),
        ]
        if question.isThinking { config["thinkingConfig"] = ["includeThoughts": true] }
        var body: JSON = [
            "contents": [["role": "user", "parts": [["text": .string(question.text)]]]], "generationConfig": config,
        ]
        if question.hasTools {
            body["tools"] = [
                [
                    "functionDeclarations": [
                        ["name": "get_weather", "parameters": weather], ["name": "get_time", "parameters": time],
                    ]
                ]
            ]
        }
        return body
    }

    // MARK: Reading

    func read(_ plan: AnswerPlan, isStream: Bool) -> Reading {
        switch (self, isStream) {
        case (.anthropic, false), (.antigravityKey, false), (.bedrock, false): Self.readMessage(plan.json)
        case (.anthropic, true), (.antigravityKey, true): Self.readMessageEvents(plan.events.map(\.data))
        case (.chat, false): Self.readChat(plan.json)
        case (.chat, true): Self.readChunks(plan.events.map(\.data))
        case (.responses, false): Self.readResponse(plan.json)
        case (.responses, true): Self.readResponseEvents(plan.events.map(\.data))
        case (.bedrock, true): Self.readMessageEvents(plan.chunks)
        case (.gemini, false), (.geminiArray, false): Self.readCandidates([plan.json])
        case (.gemini, true): Self.readCandidates(plan.events.map(\.data))
        case (.antigravity, false): Self.readCandidates([plan.json["response"] ?? .null])
        case (.antigravity, true): Self.readCandidates(plan.events.compactMap { $0.data["response"] })
        case (.geminiArray, true): Self.readCandidates(Self.array(plan.text))
        }
    }

    static func readMessage(_ message: JSON) -> Reading {
        var reading = Reading()
        for block in message["content"]?.array ?? [] {
            reading.text += block["text"]?.string ?? ""
            reading.thinking += block["thinking"]?.string ?? ""
            if block["type"] == "tool_use" { reading.calls.append([block["name"] ?? .null, block["input"] ?? .null]) }
        }
        reading.stopReason = message["stop_reason"]?.string
        return reading
    }

    static func readMessageEvents(_ events: [JSON]) -> Reading {
        var reading = Reading()
        var arguments: [String] = []
        var names: [JSON] = []
        for event in events {
            if event["content_block"]?["type"] == "tool_use" {
                names.append(event["content_block"]?["name"] ?? .null)
                arguments.append("")
            }
            if let text = event["delta"]?["text"]?.string {
                reading.text += text
                reading.textEvents += 1
            }
            reading.thinking += event["delta"]?["thinking"]?.string ?? ""
            if let part = event["delta"]?["partial_json"]?.string { arguments[arguments.count - 1] += part }
            reading.stopReason = event["delta"]?["stop_reason"]?.string ?? reading.stopReason
        }
        reading.calls = Self.joined(names, arguments)
        return reading
    }

    private static func readChat(_ completion: JSON) -> Reading {
        var reading = Reading()
        let choice = completion["choices"]?[0]
        let message = choice?["message"]
        reading.text = message?["content"]?.string ?? ""
        reading.stopReason = choice?["finish_reason"]?.string
        for call in message?["tool_calls"]?.array ?? [] {
            reading.calls += joined(
                [call["function"]?["name"] ?? .null],
                [call["function"]?["arguments"]?.string ?? ""]
            )
        }
        return reading
    }

    private static func readResponse(_ response: JSON) -> Reading {
        var reading = Reading()
        for item in response["output"]?.array ?? [] {
            for part in item["content"]?.array ?? [] { reading.text += part["text"]?.string ?? "" }
            for part in item["summary"]?.array ?? [] { reading.thinking += part["text"]?.string ?? "" }
            if item["type"] == "function_call" {
                reading.calls += joined([item["name"] ?? .null], [item["arguments"]?.string ?? ""])
            }
        }
        reading.stopReason = response["status"]?.string
        return reading
    }

    /// What the deltas say; what the last event repeats must be the same.
    private static func readResponseEvents(_ events: [JSON]) -> Reading {
        var reading = Reading()
        var names: [JSON] = []
        var arguments: [String] = []
        for (number, event) in events.enumerated() {
            #expect(event["sequence_number"]?.int == number)
            let delta = event["delta"]?.string ?? ""
            switch event["type"]?.string {
            case "response.output_text.delta":
                reading.text += delta
                reading.textEvents += 1
            case "response.reasoning_summary_text.delta": reading.thinking += delta
            case "response.function_call_arguments.delta": arguments[arguments.count - 1] += delta
            case "response.output_item.added" where event["item"]?["type"] == "function_call":
                names.append(event["item"]?["name"] ?? .null)
                arguments.append("")
            case "response.completed", "response.incomplete":
                var whole = readResponse(event["response"] ?? .null)
                reading.stopReason = whole.stopReason
                reading.calls = joined(names, arguments)
                whole.textEvents = reading.textEvents
                #expect(whole == reading)
            default: break
            }
        }
        return reading
    }

    static func readCandidates(_ objects: [JSON]) -> Reading {
        var reading = Reading()
        for object in objects {
            let candidate = object["candidates"]?[0]
            reading.stopReason = candidate?["finishReason"]?.string ?? reading.stopReason
            for part in candidate?["content"]?["parts"]?.array ?? [] {
                if let call = part["functionCall"] {
                    reading.calls.append([call["name"] ?? .null, call["args"] ?? .null])
                }
                guard let text = part["text"]?.string, !text.isEmpty else { continue }
                if part["thought"] == true {
                    reading.thinking += text
                } else {
                    reading.text += text
                    reading.textEvents += 1
                }
            }
        }
        return reading
    }

    /// The elements of an array that may have been broken off.
    private static func array(_ text: String) -> [JSON] {
        if let whole = try? JSON(text: text) { return whole.array ?? [] }
        return (try? JSON(text: text + "]"))?.array ?? []
    }

    private static func readChunks(_ chunks: [JSON]) -> Reading {
        var reading = Reading()
        var names: [JSON] = []
        var arguments: [String] = []
        for chunk in chunks {
            let choice = chunk["choices"]?[0]
            if let text = choice?["delta"]?["content"]?.string, choice?["delta"]?["role"] == nil {
                reading.text += text
                reading.textEvents += 1
            }
            for call in choice?["delta"]?["tool_calls"]?.array ?? [] {
                if let name = call["function"]?["name"] {
                    names.append(name)
                    arguments.append("")
                }
                arguments[call["index"]?.int ?? 0] += call["function"]?["arguments"]?.string ?? ""
            }
            reading.stopReason = choice?["finish_reason"]?.string ?? reading.stopReason
        }
        reading.calls = joined(names, arguments)
        return reading
    }

    static func joined(_ names: [JSON], _ arguments: [String]) -> [JSON] {
        zip(names, arguments).map { [$0, (try? JSON(text: $1)) ?? .null] }
    }
}

extension AnswerPlan {
    /// The messages of an AWS event stream, as far as they are in order.
    var frames: [(headers: [String: String], payload: [UInt8])] {
        var frames: [([String: String], [UInt8])] = []
        var parser = AWSEventStreamParser()
        try? parser.feed(body) { message in
            var headers: [String: String] = [:]
            for (name, value) in message.headers { if case .string(let text) = value { headers[name] = text } }
            frames.append((headers, Array(message.payload)))
        }
        return frames
    }

    /// The events in the chunks of an AWS event stream.
    var chunks: [JSON] {
        frames.compactMap { frame in
            guard frame.headers[":event-type"] == "chunk" else { return nil }
            guard let bytes = (try? JSON(frame.payload))?["bytes"]?.string.flatMap({ Base64.decode($0) }) else {
                return nil
            }
            return try? JSON(bytes)
        }
    }
}

extension Desk {
    func ask(_ dialect: Dialect, _ question: Dialect.Question) -> AnswerPlan {
        let (head, body) = dialect.request(question)
        return send(head.method, head.target, head.headers, body)
    }

    func reading(_ dialect: Dialect, _ question: Dialect.Question) -> Dialect.Reading {
        dialect.read(ask(dialect, question), isStream: question.isStream)
    }
}
