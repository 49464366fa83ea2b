import Domain
import Formats
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@testable import GatewayKit

@Suite(
    "Every dialect on its own platform",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct DialectTests {
    private static let eventStream: HeaderFields = ["content-type": "text/event-stream"]

    private func options(_ speech: Speech, accounts: Int = 1) -> Stand.Options {
        var options = Stand.Options()
        options.platform = speech.platform
        options.accounts = accounts
        return options
    }

    @Test("a whole answer passes byte for byte, with the account's credential, and is billed", arguments: Speech.all)
    func whole(speech: Speech) async throws {
        try await standing(options(speech)) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, speech.answer) }
            let response = try await stand.post(speech.path, speech.body)
            #expect(response.head.status == 200)
            #expect(try await response.text() == speech.answer)
            let call = try await stand.upstream.call()
            #expect(call.text == speech.body)
            #expect(call.exchange.request.target.hasPrefix(speech.upstreamPath))
            let headers = call.exchange.request.headers
            if speech.platform == .gemini {
                #expect(headers["x-goog-api-key"] == "sk-upstream-1")
            } else {
                #expect(headers["authorization"] == "Bearer sk-upstream-1")
            }
            #expect(headers["x-api-key"] == nil)
            let record = try #require(try await stand.records(1).first)
            #expect(record.usage == Speech.usage && !record.isEstimated)
            #expect(record.dialect == speech.dialect && !record.isStream && record.end == .complete)
        }
    }

    @Test("a stream passes byte for byte and is billed by its last word", arguments: Speech.all)
    func stream(speech: Speech) async throws {
        try await standing(options(speech)) { (stand) async throws in
            stand.upstream.script = { call in
                call.startStream()
                for byte in speech.stream.utf8 { call.send([byte]) }
                call.finish()
            }
            let response = try await stand.post(speech.streamPath, speech.streamBody)
            #expect(response.head.headers["content-type"] == "text/event-stream")
            #expect(try await response.text() == speech.stream)
            #expect(try await stand.upstream.call().text == speech.streamBody)
            let record = try #require(try await stand.records(1).first)
            #expect(record.usage == Speech.usage && !record.isEstimated && record.firstTokenMilliseconds != nil)
            #expect(record.dialect == speech.dialect && record.isStream && record.end == .complete)
        }
    }

    @Test("a mapped model has the upstream's name there and the caller's name here", arguments: Speech.all)
    func mapped(speech: Speech) async throws {
        var options = options(speech)
        options.mapping = ["gpt-mine": "gpt-a", "gemini-mine": "gemini-a"]
        @Sendable func mine(_ text: String) -> String {
            text.split(separator: "-a", omittingEmptySubsequences: false).joined(separator: "-mine")
        }
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, speech.answer) }
            #expect(try await stand.post(mine(speech.path), mine(speech.body)).text() == mine(speech.answer))
            let call = try await stand.upstream.call()
            #expect(call.text == speech.body && call.exchange.request.target.hasPrefix(speech.upstreamPath))
            stand.upstream.script = { $0.stream(speech.stream) }
            let text = try await stand.post(mine(speech.streamPath), mine(speech.streamBody)).text()
            #expect(text.contains("-mine") && !text.contains("-a\""))
            let records = try await stand.records(2)
            #expect(records.allSatisfy { $0.usage == Speech.usage && $0.upstreamModel.hasSuffix("-a") })
        }
    }

    @Test("failures before the first content move on to the next account", arguments: Speech.all)
    func failover(speech: Speech) async throws {
        let failures: [(Int, String, HeaderFields)] = [
            (500, "oops", [:]), (429, #"{"error":{"message":"slow"}}"#, [:]), (401, "{}", [:]),
            (404, speech.missing, [:]),
            (200, "<html>", ["content-type": "text/html"]), (200, "", Self.eventStream),
            (200, speech.dialect == .gemini ? ":\n\n" : speech.events[0], Self.eventStream),
            (200, #"data: {"error":{"code":503,"message":"overloaded"}}"# + "\n\n", Self.eventStream),
        ]
        try await standing(options(speech, accounts: 2)) { (stand) async throws in
            stand.upstreams[1].script = { $0.stream(speech.stream) }
            for (number, failure) in failures.enumerated() {
                // The error event of the Responses API has a name.
                if speech.dialect == .openaiResponses, number == failures.count - 1 { continue }
                stand.upstreams[0].script = { $0.answer(failure.0, failure.1, failure.2) }
                let response = try await stand.post(speech.streamPath, speech.streamBody)
                #expect(try await response.text() == speech.stream, "failure \(number)")
            }
        }
    }

    @Test(
        "a break after content becomes the dialect's own error event, billed as far as it went",
        arguments: Speech.all
    )
    func cut(speech: Speech) async throws {
        try await standing(options(speech)) { (stand) async throws in
            let sent = speech.events.prefix(speech.dialect == .openaiResponses ? 3 : 2).joined()
            stand.upstream.script = { call in
                call.startStream()
                call.send(sent)
                await stand.loop.sleep(.milliseconds(20))
                call.cut()
            }
            let text = try await stand.post(speech.streamPath, speech.streamBody).text()
            #expect(text.hasPrefix(sent) && text.contains(speech.errorMark), "had \(text.suffix(300))")
            let record = try #require(try await stand.records(1).first)
            #expect(record.end == .upstreamCut && record.isEstimated && record.usage.output > 0)
            // Google says in every event what the input is, OpenAI in the last one.
            let isReported = speech.dialect == .gemini
            #expect(record.usage.input == (isReported ? 10 : Int64(speech.streamBody.utf8.count / 4 + 1)))
        }
    }

    @Test("the caller's own faults come back as the upstream told them", arguments: Speech.all)
    func callerFault(speech: Speech) async throws {
        try await standing(options(speech)) { (stand) async throws in
            let body = #"{"error":{"code":400,"message":"bad contents","status":"INVALID_ARGUMENT"}}"#
            stand.upstream.script = { $0.answer(400, body) }
            let response = try await stand.post(speech.path, speech.body)
            #expect(response.head.status == 400)
            #expect(try await response.text() == body)
            #expect(try await stand.records().isEmpty)
        }
    }

    @Test("the gateway's own errors have the dialect's shape and the gateway's code", arguments: Speech.all)
    func ownErrors(speech: Speech) async throws {
        try await standing(options(speech)) { (stand) async throws in
            let response = try await stand.post(speech.path, speech.body, withKey: false)
            #expect(response.head.status == 401 && response.head.headers["x-tollgate-code"] == "invalid_api_key")
            let error = try #require(JSON(text: try await response.text())["error"])
            #expect(error["message"]?.string?.isEmpty == false)
            if speech.dialect == .gemini {
                #expect(error["code"]?.int == 401 && error["status"]?.string == "UNAUTHENTICATED")
                #expect(error["details"]?[0]?["reason"]?.string == "invalid_api_key")
            } else {
                #expect(error["type"]?.string == "authentication_error" && error["code"]?.string == "invalid_api_key")
            }
            let broken = try await stand.post(speech.path, "{")
            #expect(broken.head.status == 400)
            _ = try await broken.text()
        }
    }

    @Test(
        "a silent upstream is covered by the dialect's keep-alive, after which an error is an event",
        arguments: Speech.all
    )
    func keepAlive(speech: Speech) async throws {
        var options = options(speech)
        options.pace.firstSilence = .milliseconds(30)
        options.pace.furtherSilence = .milliseconds(30)
        options.pace.silenceWatch = .milliseconds(10)
        try await standing(options) { (stand) async throws in
            let response = try await stand.post(speech.streamPath, speech.streamBody)
            #expect(response.head.status == 200)
            let reading = Reading(response, stand.loop)
            try await reading.wait(for: speech.dialect == .gemini ? "\n" : ": keep-alive\n\n")
            try await stand.upstream.call().answer(500, "{}")
            let text = try await reading.rest()
            #expect(text.contains(speech.dialect == .gemini ? #"data: {"error":{"# : speech.errorMark))
        }
    }

    // MARK: OpenAI

    @Test(
        "a chat stream is made to report its usage, which a caller who did not ask does not see",
        arguments: [
            #"{"model":"gpt-a","messages":[],"stream":true}"#,
            #" {"stream_options" : null, "model":"gpt-a","messages":[],"stream":true}"#,
            #"{"model":"gpt-a","messages":[],"stream":true,"stream_options":{}}"#,
            #"{"model":"gpt-a","messages":[],"stream":true,"stream_options":{"include_obfuscation":false}}"#,
            #"{"model":"gpt-a","messages":[],"stream":true,"stream_options":{"include_usage":false}}"#,
        ]
    )
    func includeUsage(body: String) async throws {
        try await standing(options(.chat)) { (stand) async throws in
            stand.upstream.script = { $0.stream(Speech.chat.stream) }
            let text = try await stand.post(Speech.chat.path, body).text()
            var events = Speech.chat.events
            events.remove(at: 3)
            #expect(text == events.joined())
            let sent = try JSON(text: try await stand.upstream.call().text)
            #expect(sent["stream_options"]?["include_usage"]?.bool == true)
            #expect(sent["model"]?.string == "gpt-a" && sent["stream"]?.bool == true)
            #expect(try await stand.records(1).first?.usage == Speech.usage)
        }
    }

    @Test("embeddings pass through and are billed by their input")
    func embeddings() async throws {
        try await standing(options(.chat)) { (stand) async throws in
            let answer =
                #"{"object":"list","data":[{"embedding":[0.5]}],"model":"text-embedding-3","usage":{"prompt_tokens":8,"total_tokens":8}}"#
            stand.upstream.script = { $0.answer(200, answer) }
            let response = try await stand.post("/v1/embeddings", #"{"model":"text-embedding-3","input":"hi"}"#)
            #expect(try await response.text() == answer)
            #expect(try await stand.upstream.call().exchange.request.target == "/v1/embeddings")
            let record = try #require(try await stand.records(1).first)
            #expect(record.usage == TokenUsage(input: 8) && record.dialect == .openaiChat)
        }
    }

    @Test("an answer can be asked for again, and gone on from, with the key that got it, at the account that gave it")
    func bindings() async throws {
        try await standing(options(.responses, accounts: 2)) { (stand) async throws in
            stand.upstreams[0].script = { $0.answer(500, "{}") }
            stand.upstreams[1].script = { $0.answer(200, Speech.responses.answer) }
            _ = try await stand.post(Speech.responses.path, Speech.responses.body).text()
            stand.upstreams[0].script = { $0.answer(200, Speech.responses.answer) }
            stand.upstreams[0].forget()
            stand.upstreams[1].forget()

            let again = try await stand.get("/v1/responses/resp_1?include=x")
            #expect(again.status == 200 && again.body == Speech.responses.answer)
            #expect(try await stand.upstreams[1].call().exchange.request.target == "/v1/responses/resp_1?include=x")
            let next = #"{"model":"gpt-a","input":"more","previous_response_id":"resp_1"}"#
            #expect(try await stand.post(Speech.responses.path, next).head.status == 200)
            #expect(stand.upstreams[0].calls.isEmpty && stand.upstreams[1].calls.count == 2)

            // The same answer, but another key's.
            try await stand.run("SET", RedisNames.response("resp_2"), "99:2:gpt-a")
            for id in ["resp_2", "resp_3"] {
                #expect(try await stand.get("/v1/responses/\(id)").status == 404)
                let body = #"{"model":"gpt-a","input":"more","previous_response_id":"\#(id)"}"#
                let refused = try await stand.post(Speech.responses.path, body)
                #expect(refused.head.status == 404)
                #expect(try JSON(text: try await refused.text())["error"]?["param"]?.string == "previous_response_id")
            }
            #expect(try await stand.count("TTL", RedisNames.response("resp_1")) > 86_000)
        }
    }

    @Test("an answer that is asked for again has the caller's name for the model again")
    func boundName() async throws {
        var options = options(.responses)
        options.mapping = ["gpt-mine": "gpt-a"]
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Speech.responses.answer) }
            let first = try await stand.post("/v1/responses", Speech.responses.body("gpt-mine")).text()
            let again = try await stand.get("/v1/responses/resp_1").body
            #expect(first == again && again.contains(#""model":"gpt-mine""#))
        }
    }

    @Test("a login is asked for streams only, and a caller who wants none gets the whole answer")
    func login() async throws {
        var options = options(.responses)
        options.type = .oauth
        options.fields = ["account_id": "acct-7"]
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { $0.stream(Speech.responses.stream) }
            let text = try await stand.post(Speech.responses.path, Speech.responses.body).text()
            #expect(try JSON(text: text)["id"]?.string == "resp_1")
            let call = try await stand.upstream.call()
            #expect(call.exchange.request.target == "/responses")
            #expect(call.exchange.request.headers["authorization"] == "Bearer at-sk-upstream-1")
            #expect(call.exchange.request.headers["chatgpt-account-id"] == "acct-7")
            let sent = try JSON(text: call.text)
            #expect(sent["stream"]?.bool == true && sent["store"]?.bool == false)
            #expect(sent["input"]?[0]?["content"]?.string == "hi" && sent["instructions"]?.string?.isEmpty == true)
            let more = #"{"model":"gpt-a","input":"more","previous_response_id":"resp_1"}"#
            #expect(try await stand.post(Speech.responses.path, more).head.status == 400)
            #expect(try await stand.records(1).first?.usage == Speech.usage)
        }
    }

    // MARK: Google

    @Test("without alt=sse a stream is an array, with the same words")
    func array() async throws {
        try await standing(options(.gemini)) { (stand) async throws in
            stand.upstream.script = { $0.stream(Speech.gemini.stream) }
            let response = try await stand.post(
                "/v1beta/models/gemini-a:streamGenerateContent",
                Speech.gemini.streamBody
            )
            #expect(response.head.headers["content-type"]?.hasPrefix("application/json") == true)
            let elements = try #require(JSON(text: try await response.text()).array)
            #expect(elements.count == 3)
            #expect(elements[2]["usageMetadata"]?["thoughtsTokenCount"]?.int == 2)
            #expect(try await stand.upstream.call().exchange.request.query == "alt=sse")
            #expect(try await stand.records(1).first?.usage == Speech.usage)

            stand.upstream.script = { $0.stream(Speech.gemini.events[0]) }
            let cut = try await stand.post("/v1beta/models/gemini-a:streamGenerateContent", Speech.gemini.streamBody)
            let broken = try #require(JSON(text: try await cut.text()).array)
            #expect(broken.count == 2 && broken[1]["error"]?["code"]?.int == 502)
        }
    }

    @Test("a key in the query counts for Gemini and goes no further; elsewhere it counts for nothing")
    func queryKey() async throws {
        try await standing(options(.gemini)) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Speech.gemini.answer) }
            let path = Speech.gemini.path + "?x=1&key=\(stand.apiKey)"
            let response = try await stand.post(path, Speech.gemini.body, withKey: false)
            #expect(response.head.status == 200)
            _ = try await response.text()
            #expect(try await stand.upstream.call().exchange.request.query == "x=1")
            let other = try await stand.post("/v1/messages?key=\(stand.apiKey)", Stand.body(), withKey: false)
            #expect(other.head.status == 401)
            _ = try await other.text()
        }
    }

    @Test("tokens are counted by Gemini itself and cost nothing")
    func countTokens() async throws {
        try await standing(options(.gemini)) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, #"{"totalTokens":31}"#) }
            let response = try await stand.post("/v1beta/models/gemini-a:countTokens", Speech.gemini.body)
            #expect(try await response.text() == #"{"totalTokens":31}"#)
            #expect(try await stand.upstream.call().exchange.request.path == "/v1beta/models/gemini-a:countTokens")
            #expect(try await stand.records().isEmpty)
        }
    }

    @Test("an Antigravity login has requests and answers wrapped, streams as well")
    func antigravity() async throws {
        var options = options(.gemini)
        options.platform = .antigravity
        options.type = .oauth
        options.fields = ["project_id": "p-1"]
        @Sendable func wrapped(_ json: String) -> String { #"{"response":\#(json),"traceId":"t"}"# }
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, wrapped(Speech.gemini.answer)) }
            let whole = try await stand.post("/antigravity" + Speech.gemini.path, Speech.gemini.body)
            #expect(try await whole.text() == Speech.gemini.answer)
            let call = try await stand.upstream.call()
            #expect(call.exchange.request.target == "/v1internal:generateContent")
            let sent = try JSON(text: call.text)
            #expect(sent["model"]?.string == "gemini-a" && sent["project"]?.string == "p-1")
            #expect(sent["request"]?["future"]?.double == 1.5)

            stand.upstream.script = { call in
                call.startStream()
                for event in Speech.gemini.events {
                    call.send("data: " + wrapped(String(event.dropFirst(6).dropLast(2))) + "\r\n\r\n")
                }
                call.finish()
            }
            let stream = try await stand.post(Speech.gemini.streamPath, Speech.gemini.streamBody)
            let text = try await stream.text()
            #expect(text.contains(#""text":"!""#) && !text.contains("traceId"))
            #expect(
                try await stand.upstream.call(1).exchange.request.target == "/v1internal:streamGenerateContent?alt=sse"
            )
            #expect(try await stand.records(2).allSatisfy { $0.usage == Speech.usage })
        }
    }

    @Test("an Antigravity key asks below /antigravity, once, in both dialects", arguments: ["", "/antigravity/"])
    func antigravityKey(basePath: String) async throws {
        var options = options(.gemini)
        options.platform = .antigravity
        options.basePath = basePath
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { call in
                call.answer(
                    200,
                    call.exchange.request.path.hasSuffix("/messages") ? Says.message() : Speech.gemini.answer
                )
            }
            #expect(try await stand.post(Speech.gemini.path, Speech.gemini.body).head.status == 200)
            #expect(try await stand.post("/antigravity/v1/messages", Stand.body()).head.status == 200)
            let targets = stand.upstream.calls.map(\.exchange.request.target)
            #expect(targets == ["/antigravity/v1beta/models/gemini-a:generateContent", "/antigravity/v1/messages"])
            #expect(stand.upstream.calls[0].exchange.request.headers["x-goog-api-key"] == "sk-upstream-1")
            #expect(stand.upstream.calls[1].exchange.request.headers["x-api-key"] == "sk-upstream-1")
        }
    }

    @Test("paths below /antigravity are for keys of antigravity groups")
    func antigravityPaths() async throws {
        try await standing { (stand) async throws in
            for (path, body) in [
                ("/antigravity/v1/messages", Stand.body()), ("/antigravity" + Speech.gemini.path, Speech.gemini.body),
            ] {
                let response = try await stand.post(path, body)
                #expect(response.head.status == 403 && response.head.headers["x-tollgate-code"] == "access_denied")
                _ = try await response.text()
            }
            #expect(try await stand.get("/antigravity/v1beta/models").status == 403)
            #expect(stand.upstream.calls.isEmpty)
        }
    }
}
