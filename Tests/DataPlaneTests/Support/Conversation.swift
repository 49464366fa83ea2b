import Dialects
import Domain
import Formats
import Testing

@testable import GatewayKit

/// The same questions in every dialect, and answers read by the dialect's own rules.
struct Conversation: Sendable, CustomTestStringConvertible {
    let dialect: Dialect
    var testDescription: String { dialect.rawValue }

    static let all = Dialect.allCases.filter { DialectRegistry.codec(of: $0) != nil }
        .map { Conversation(dialect: $0) }

    /// What an answer says.
    struct Reading: Equatable {
        var text = ""
        /// Names and arguments of the tools called.
        var calls: [[String]] = []
    }

    private static let schema: JSON = ["type": "object", "properties": ["city": ["type": "string"]]]

    func path(_ model: String, isStream: Bool) -> String {
        switch dialect {
        case .anthropic: "/v1/messages"
        case .openaiChat: "/v1/chat/completions"
        case .openaiResponses: "/v1/responses"
        case .gemini:
            "/v1beta/models/\(model):" + (isStream ? "streamGenerateContent?alt=sse" : "generateContent")
        }
    }

    func body(_ model: String, _ text: String, isStream: Bool, hasTools: Bool = false) -> String {
        var body: JSON = dialect == .gemini ? [:] : ["model": .string(model)]
        if isStream, dialect != .gemini { body["stream"] = true }
        let names = ["get_weather", "get_time"]
        switch dialect {
        case .anthropic:
            body["max_tokens"] = 500
            body["messages"] = [["role": "user", "content": .string(text)]]
            if hasTools { body["tools"] = .array(names.map { ["name": .string($0), "input_schema": Self.schema] }) }
        case .openaiChat:
            body["messages"] = [["role": "user", "content": .string(text)]]
            if hasTools {
                body["tools"] = .array(
                    names.map {
                        ["type": "function", "function": ["name": .string($0), "parameters": Self.schema]]
                    }
                )
            }
        case .openaiResponses:
            body["input"] = .string(text)
            if hasTools {
                body["tools"] = .array(
                    names.map { ["type": "function", "name": .string($0), "parameters": Self.schema] }
                )
            }
        case .gemini:
            body["contents"] = [["role": "user", "parts": [["text": .string(text)]]]]
            if hasTools {
                let functions = names.map { ["name": .string($0), "parameters": Self.schema] as JSON }
                body["tools"] = [["functionDeclarations": .array(functions)]]
            }
        }
        return body.text
    }

    func read(_ answer: String, isStream: Bool) throws -> Reading {
        guard isStream else { return whole(try JSON(text: answer)) }
        var events: [JSON] = []
        var parser = SSEParser()
        try parser.feed(Array(answer.utf8)) { event in
            if event.hasData, let json = try? JSON(Array(event.data)) { events.append(json) }
        }
        return streamed(events)
    }

    private func whole(_ json: JSON) -> Reading {
        var reading = Reading()
        switch dialect {
        case .anthropic:
            for block in json["content"]?.array ?? [] {
                reading.text += block["text"]?.string ?? ""
                if block["type"]?.string == "tool_use" { reading.add(block["name"], block["input"]?.text) }
            }
        case .openaiChat:
            let message = json["choices"]?[0]?["message"]
            reading.text = message?["content"]?.string ?? ""
            for call in message?["tool_calls"]?.array ?? [] {
                reading.add(call["function"]?["name"], call["function"]?["arguments"]?.string)
            }
        case .openaiResponses:
            for item in json["output"]?.array ?? [] {
                for part in item["content"]?.array ?? [] { reading.text += part["text"]?.string ?? "" }
                if item["type"]?.string == "function_call" { reading.add(item["name"], item["arguments"]?.string) }
            }
        case .gemini:
            for part in json["candidates"]?[0]?["content"]?["parts"]?.array ?? [] {
                reading.text += part["text"]?.string ?? ""
                if let call = part["functionCall"] { reading.add(call["name"], call["args"]?.text) }
            }
        }
        return reading
    }

    private func streamed(_ events: [JSON]) -> Reading {
        var reading = Reading()
        switch dialect {
        case .anthropic:
            for event in events {
                if let block = event["content_block"], block["type"]?.string == "tool_use" {
                    reading.add(block["name"], "")
                }
                reading.text += event["delta"]?["text"]?.string ?? ""
                reading.append(event["delta"]?["partial_json"]?.string)
            }
        case .openaiChat:
            for event in events {
                let delta = event["choices"]?[0]?["delta"]
                reading.text += delta?["content"]?.string ?? ""
                for call in delta?["tool_calls"]?.array ?? [] {
                    if let name = call["function"]?["name"] { reading.add(name, "") }
                    reading.append(call["function"]?["arguments"]?.string)
                }
            }
        case .openaiResponses:
            guard let last = events.last(where: { $0["type"]?.string == "response.completed" }) else { return reading }
            reading = whole(last["response"] ?? .null)
            let text = events.filter { $0["type"]?.string == "response.output_text.delta" }
                .map { $0["delta"]?.string ?? "" }.joined()
            if text != reading.text { reading.text = "deltas say \(text), the end says \(reading.text)" }
        case .gemini:
            for event in events {
                let more = whole(event)
                reading.text += more.text
                reading.calls += more.calls
            }
        }
        return reading
    }

    /// Whether a stream says that it went wrong.
    func tellsError(_ stream: String) -> Bool {
        switch dialect {
        case .anthropic: stream.contains("event: error")
        // The upstream's own word, or the gateway's.
        case .openaiResponses: stream.contains("event: error") || stream.contains("event: response.failed")
        case .openaiChat, .gemini: stream.contains(#"data: {"error":{"#)
        }
    }
}

extension Conversation.Reading {
    fileprivate mutating func add(_ name: JSON?, _ arguments: String?) {
        calls.append([name?.string ?? "", arguments ?? ""])
    }
    fileprivate mutating func append(_ arguments: String?) {
        guard let arguments, !calls.isEmpty else { return }
        calls[calls.count - 1][1] += arguments
    }

    /// Names, and the values of `city` in their arguments.
    var toolCalls: [[String]] {
        calls.map { [$0[0], (try? JSON(text: $0[1]))?["city"]?.string ?? "?"] }
    }
}

/// A kind of account, as it is set up to reach the simulator.
struct UpstreamKind: Sendable, CustomTestStringConvertible {
    let name: String
    let platform: Platform
    let type: AccountType
    var fields: [String: String] = [:]
    var basePath = ""
    let family: String
    var testDescription: String { name }

    var options: Stand.Options {
        var options = Stand.Options()
        options.isSimulated = true
        options.platform = platform
        options.type = type
        options.fields = fields
        options.basePath = basePath
        return options
    }

    static let all = every.filter { !$0.isGoogle || DialectRegistry.codec(of: .gemini) != nil }

    private var isGoogle: Bool { platform == .gemini || (platform == .antigravity && family == "gemini-sim") }

    private static let every = [
        UpstreamKind(name: "Anthropic key", platform: .anthropic, type: .apikey, family: "claude-sim"),
        UpstreamKind(name: "Anthropic login", platform: .anthropic, type: .oauth, family: "claude-sim"),
        UpstreamKind(name: "Anthropic setup token", platform: .anthropic, type: .setupToken, family: "claude-sim"),
        UpstreamKind(
            name: "Bedrock SigV4",
            platform: .anthropic,
            type: .bedrock,
            fields: ["auth_mode": "sigv4", "region": "us-east-1", "access_key_id": "AKIASIM"],
            family: "claude-sim"
        ),
        UpstreamKind(
            name: "Bedrock key",
            platform: .anthropic,
            type: .bedrock,
            fields: ["auth_mode": "apikey", "region": "us-east-1"],
            family: "claude-sim"
        ),
        UpstreamKind(name: "OpenAI key", platform: .openai, type: .apikey, basePath: "/v1", family: "gpt-sim"),
        UpstreamKind(
            name: "OpenAI key, Responses only",
            platform: .openai,
            type: .apikey,
            fields: ["upstream_api": "responses"],
            family: "gpt-sim"
        ),
        UpstreamKind(
            name: "OpenAI key, Chat only",
            platform: .openai,
            type: .apikey,
            fields: ["upstream_api": "chat"],
            family: "gpt-sim"
        ),
        UpstreamKind(
            name: "OpenAI login",
            platform: .openai,
            type: .oauth,
            basePath: "/backend-api/codex",
            family: "gpt-sim"
        ),
        UpstreamKind(name: "Gemini key", platform: .gemini, type: .apikey, family: "gemini-sim"),
        UpstreamKind(name: "Gemini login", platform: .gemini, type: .oauth, family: "gemini-sim"),
        UpstreamKind(
            name: "Antigravity login",
            platform: .antigravity,
            type: .oauth,
            fields: ["project_id": "p-1"],
            family: "gemini-sim"
        ),
        UpstreamKind(
            name: "Antigravity login, Claude",
            platform: .antigravity,
            type: .oauth,
            fields: ["project_id": "p-1"],
            family: "claude-sim"
        ),
        UpstreamKind(name: "Antigravity key, Claude", platform: .antigravity, type: .apikey, family: "claude-sim"),
        UpstreamKind(name: "Antigravity key, Gemini", platform: .antigravity, type: .apikey, family: "gemini-sim"),
    ]
}
