import Domain
import Formats
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Snapshots
import TestSupport
import Testing

@testable import GatewayKit

@Suite("Claude on Bedrock", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct BedrockTests {
    private static let model = "claude-sonnet-4-5"
    private static let streamHead: HeaderFields = ["content-type": "application/vnd.amazon.eventstream"]

    private var options: Stand.Options {
        var options = Stand.Options()
        options.type = .bedrock
        options.fields = ["region": "us-east-1", "auth_mode": "apikey"]
        return options
    }

    private static func message(_ headers: [(String, String)], _ payload: String) -> [UInt8] {
        var out: [UInt8] = []
        AWSEventStreamWriter.append(
            headers: headers.map { (name: $0.0, value: .string($0.1)) },
            payload: Array(payload.utf8),
            to: &out
        )
        return out
    }

    private static func frame(_ data: String) -> [UInt8] {
        let payload = #"{"bytes":"\#(Base64.encode(Array(data.utf8), .standard))"}"#
        return message([(":message-type", "event"), (":event-type", "chunk")], payload)
    }

    /// The events of a stream, each as Bedrock sends it.
    private static func frames(_ events: String) throws -> [UInt8] {
        var out: [UInt8] = []
        var parser = SSEParser()
        try parser.feed(Array(events.utf8)) { out += frame(String(decoding: $0.data, as: UTF8.self)) }
        return out
    }

    @Test("a call goes to the model's path, without what the path says, and its answer has the caller's name for it")
    func whole() async throws {
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message("us.anthropic.x")) }
            let betas = "claude-code-20250219,a-1, b-2, oauth-2025-04-20"
            let response = try await stand.ask(Self.model, headers: ["anthropic-beta": betas])
            #expect(response.head.status == 200)
            #expect(try await response.text() == Says.message(Self.model))
            let call = try await stand.upstream.call()
            #expect(
                call.exchange.request.path == "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke"
            )
            #expect(call.exchange.request.headers["authorization"] == "Bearer sk-upstream-1")
            #expect(call.exchange.request.headers["anthropic-beta"] == nil)
            let sent = try JSON(text: call.text)
            #expect(sent["anthropic_version"]?.string == "bedrock-2023-05-31")
            #expect(sent["anthropic_beta"] == ["a-1", "b-2"])
            #expect(sent["model"] == nil && sent["stream"] == nil && sent["max_tokens"]?.int == 9)
            let record = try #require(try await stand.records(1).first)
            #expect(record.usage == TokenUsage(input: 10, output: 7))
            #expect(record.upstreamModel == "us.anthropic.claude-sonnet-4-5-20250929-v1:0")
        }
    }

    @Test("an event stream, in any pieces, becomes the dialect's own")
    func stream() async throws {
        try await standing(options) { (stand) async throws in
            let frames = try Self.frames(Says.whole("us.anthropic.x"))
            stand.upstream.script = { call in
                call.startStream(Self.streamHead)
                for byte in frames { call.send([byte]) }
                call.finish()
            }
            let response = try await stand.ask(Self.model, stream: true)
            #expect(response.head.headers["content-type"]?.hasPrefix("text/event-stream") == true)
            let text = try await response.text()
            #expect(text.contains("event: message_start") && text.contains(Says.delta("hello")))
            #expect(text.contains("\"\(Self.model)\"") && !text.contains("us.anthropic") && text.hasSuffix(Says.stop))
            #expect(
                try await stand.upstream.call().exchange.request.path.hasSuffix("/invoke-with-response-stream")
            )
            let record = try #require(try await stand.records(1).first)
            #expect(record.usage == TokenUsage(input: 10, output: 7) && record.end == .complete)
        }
    }

    @Test("broken frames and exceptions before content move on; behind content they end the stream as an error")
    func broken() async throws {
        var options = options
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            let good = try Self.frames(Says.whole())
            let exception = Self.message(
                [(":message-type", "exception"), (":exception-type", "throttlingException")],
                #"{"message":"slow down"}"#
            )
            var wrong = try Self.frames(Says.start())
            wrong[wrong.count - 1] ^= 1
            stand.upstreams[1].script = { call in
                call.startStream(Self.streamHead)
                call.send(good)
                call.finish()
            }
            for bytes in [wrong, exception, []] {
                stand.upstreams[0].script = { call in
                    call.startStream(Self.streamHead)
                    call.send(bytes)
                    call.finish()
                }
                #expect(try await stand.ask(Self.model, stream: true).text().hasSuffix(Says.stop))
            }
            try await stand.clearFlags()
            let begun = try Self.frames(Says.start() + Says.blockStart + Says.delta("one"))
            stand.upstreams[0].script = { call in
                call.startStream(Self.streamHead)
                call.send(begun + exception)
                call.finish()
            }
            let text = try await stand.ask(Self.model, stream: true).text()
            #expect(text.contains("rate_limit_error") && text.contains("one"))
            #expect(try await stand.records(4).map(\.end) == [.complete, .complete, .complete, .errorEvent])
        }
    }

    @Test("requests are signed where the account has a key pair, and errors come without AWS' own words")
    func signed() async throws {
        var options = options
        options.fields = ["region": "eu-west-1", "auth_mode": "sigv4", "access_key_id": "AKIDEXAMPLE"]
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { call in
                call.answer(
                    400,
                    #"{"message":"arn:aws:iam::123456789012:role/x is bad"}"#,
                    ["content-type": "application/json", "x-amzn-errortype": "ValidationException:http://internal"]
                )
            }
            let response = try await stand.ask(Self.model)
            let text = try await response.text()
            #expect(response.head.status == 400 && text.contains("invalid_request_error") && !text.contains("arn:"))
            #expect(!response.head.headers.strings.contains { $0.name.hasPrefix("x-amzn") })
            let headers = try await stand.upstream.call().exchange.request.headers
            #expect(headers["authorization"]?.hasPrefix("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") == true)
            #expect(headers["authorization"]?.contains("/eu-west-1/bedrock/aws4_request") == true)
            #expect(headers["x-amz-date"] != nil)
        }
    }
}
