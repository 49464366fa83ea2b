import HTTPMessages
import HTTPServing
import Reactor
import Testing

/// One request that reached the fake upstream, and the hand that answers it.
final class UpstreamCall {
    let exchange: ServerExchange
    let body: [UInt8]

    init(_ exchange: ServerExchange, _ body: [UInt8]) {
        self.exchange = exchange
        self.body = body
    }

    var text: String { String(decoding: body, as: UTF8.self) }
    var isGone: Bool { exchange.isCallerGone }

    func answer(_ status: Int = 200, _ text: String, _ headers: HeaderFields = ["content-type": "application/json"]) {
        exchange.respond(HTTPResponseHead(status: status, headers: headers), body: Array(text.utf8))
    }

    func startStream(_ headers: HeaderFields = ["content-type": "text/event-stream"]) {
        exchange.startResponse(HTTPResponseHead(status: 200, headers: headers))
    }

    func send(_ text: String) { exchange.write(Array(text.utf8)) }
    func send(_ bytes: [UInt8]) { exchange.write(bytes) }
    func finish() { exchange.finish() }
    func cut() { exchange.cut() }

    func stream(_ events: String...) {
        startStream()
        for event in events { send(event) }
        finish()
    }
}

/// An upstream in the test's own process: every request waits for what the test says.
final class FakeUpstream {
    private let loop: EventLoop
    private(set) var server: HTTPServer?
    private(set) var address = SocketAddress("127.0.0.1:1")
    private(set) var calls: [UpstreamCall] = []
    /// Answers a request; without one it stays open.
    var script: ((UpstreamCall) async -> Void)?

    init(_ loop: EventLoop) throws {
        self.loop = loop
        let server = HTTPServer(loop, limits: HTTPServerLimits()) { [unowned self] exchange in
            guard let body = try? await exchange.collectBody(limit: 1 << 26) else { return }
            let call = UpstreamCall(exchange, body)
            calls.append(call)
            if let script {
                await script(call)
            } else {
                await loop.wait { call.exchange.isFinished || call.isGone }
            }
        }
        self.server = server
        address = try server.listen(on: #require(SocketAddress("127.0.0.1:0")))
    }

    var baseURL: String { "http://127.0.0.1:\(address?.port ?? 0)" }

    /// Waits for the request of this number, counted from 0.
    func call(_ number: Int = 0) async throws -> UpstreamCall {
        await loop.wait { calls.count > number }
        return try #require(calls.indices.contains(number) ? calls[number] : nil, "the upstream was not asked")
    }

    func forget() { calls = [] }

    func stop() async {
        calls = []
        script = nil
        _ = await server?.drain(deadline: .zero)
        server = nil
    }
}

/// What an Anthropic upstream says.
enum Says {
    static func event(_ name: String, _ data: String) -> String { "event: \(name)\ndata: \(data)\n\n" }

    static func start(_ model: String = "claude-a", input: Int = 10) -> String {
        event(
            "message_start",
            #"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"\#(model)","#
                + #""content":[],"usage":{"input_tokens":\#(input),"output_tokens":1}}}"#
        )
    }
    static let ping = event("ping", #"{"type": "ping"}"#)
    static let blockStart = event(
        "content_block_start",
        #"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#
    )
    static func delta(_ text: String) -> String {
        event(
            "content_block_delta",
            #"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\#(text)"}}"#
        )
    }
    static let blockStop = event("content_block_stop", #"{"type":"content_block_stop","index":0}"#)
    static func messageDelta(output: Int = 7) -> String {
        event(
            "message_delta",
            #"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":\#(output)}}"#
        )
    }
    static let stop = event("message_stop", #"{"type":"message_stop"}"#)
    static let error = event("error", #"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#)

    static func whole(_ model: String = "claude-a", _ text: String = "hello") -> String {
        start(model) + ping + blockStart + delta(text) + blockStop + messageDelta() + stop
    }

    static func message(_ model: String = "claude-a", input: Int = 10, output: Int = 7) -> String {
        #"{"id":"msg_1", "type":"message","role":"assistant","model":"\#(model)","content":[{"type":"text","text":"hi"}],"#
            + #""usage":{"input_tokens":\#(input),"output_tokens":\#(output)},"future":[1, 2]}"#
    }

    static func failure(_ type: String = "api_error", _ message: String = "it failed") -> String {
        #"{"type":"error","error":{"type":"\#(type)","message":"\#(message)"}}"#
    }
}

extension EventLoop {
    /// Waits until the condition holds, at most a minute.
    func wait(for condition: () -> Bool) async {
        let start = MonotonicTime.now
        while !condition(), start.elapsed < .seconds(60) { await sleep(.milliseconds(1)) }
    }

    /// Starts a child whose result can be waited for.
    func start<Value>(_ operation: @escaping () async throws -> Value) -> Promise<Value> {
        let promise = Promise<Value>()
        spawn {
            do {
                promise.succeed(try await operation())
            } catch {
                promise.fail(error)
            }
        }
        return promise
    }
}
