import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

@Suite("Faults of the Anthropic simulator")
struct AnthropicFaultTests {
    @Test(
        "every status has the API's own body",
        arguments: [
            ("400", 400, "invalid_request_error", "prompt is too long"),
            ("400credit", 400, "invalid_request_error", "credit balance is too low"),
            ("400disabled", 400, "invalid_request_error", "organization has been disabled"),
            ("401", 401, "authentication_error", "invalid x-api-key"),
            ("402", 402, "billing_error", "billing"), ("403", 403, "permission_error", "permission"),
            ("403revoked", 403, "permission_error", "OAuth token has been revoked"),
            ("404", 404, "not_found_error", "model: claude-sim-404"),
            ("404file", 404, "not_found_error", "File not found"), ("408", 408, "timeout_error", "timeout"),
            ("413", 413, "request_too_large", "maximum size"), ("429", 429, "rate_limit_error", "rate limit"),
            ("500", 500, "api_error", "Internal server error"), ("504", 504, "timeout_error", "timed out"),
            ("529", 529, "overloaded_error", "Overloaded"), ("418", 418, "invalid_request_error", "418"),
            ("599", 599, "api_error", "599"),
        ]
    )
    func statuses(word: String, status: Int, type: String, message: String) {
        let desk = Desk()
        for stream in [false, true] {
            let plan = desk.ask(model: "claude-sim-\(word)", stream: stream)
            #expect(plan.status == status)
            #expect(plan.errorType == type)
            #expect(plan.errorMessage?.contains(message) == true)
            #expect(
                plan.head?.headers["x-should-retry"] == ([408, 429].contains(status) || status >= 500 ? "true" : nil)
            )
            #expect(plan.ending == .complete)
            #expect(plan.usage.isEmpty)
            #expect(plan.fault == word)
        }
    }

    @Test(
        "a proxy's error page is HTML, or text",
        arguments: [
            ("403html", 403, "text/html"), ("502", 502, "text/html"), ("503", 503, "text/plain"),
        ]
    )
    func pages(word: String, status: Int, type: String) {
        let desk = Desk()
        let plan = desk.ask(model: "claude-sim-\(word)")
        #expect(plan.status == status)
        #expect(plan.head?.headers["content-type"] == type)
        #expect(plan.json == .null)
    }

    @Test(
        "a 429 says when it ends, as its variant asks",
        arguments: [
            ("429", "retry-after", nil), ("429", "anthropic-ratelimit-unified-status", nil),
            ("429retry30", "retry-after", "30"), ("429reset30", "retry-after", "30"),
            ("429reset30", "anthropic-ratelimit-requests-reset", "2027-01-15T08:00:30Z"),
            ("429unified", "anthropic-ratelimit-unified-5h-reset", "1800000060"),
            ("429unified90", "anthropic-ratelimit-unified-5h-status", "rejected"),
            ("429unified90", "anthropic-ratelimit-unified-7d-status", "allowed"),
            ("429weekly90", "anthropic-ratelimit-unified-7d-reset", "1800000090"),
            ("429weekly90", "anthropic-ratelimit-unified-representative-claim", "seven_day"),
            ("429ms90", "anthropic-ratelimit-unified-5h-reset", "1800000090000"),
            ("429past90", "anthropic-ratelimit-unified-5h-reset", "1799999910"),
            ("429family90", "anthropic-ratelimit-unified-7d_opus-status", "rejected"),
            ("429family90", "anthropic-ratelimit-unified-5h-status", "allowed"),
            ("429family90-sonnet", "anthropic-ratelimit-unified-7d_sonnet-reset", "1800000090"),
            ("429neg", "anthropic-ratelimit-unified-5h-reset", "-60"), ("429neg", "retry-after", "-60"),
            ("429huge", "anthropic-ratelimit-unified-5h-reset", "99999999999999999999"),
            ("429junk", "retry-after", "soon"),
            ("429unified99999999999", "anthropic-ratelimit-unified-5h-reset", "4800000000"),
        ]
    )
    func resets(word: String, field: String, value: String?) {
        let desk = Desk()
        #expect(desk.ask(model: "claude-sim-\(word)").head?.headers[field] == value)
    }

    @Test("an expired token is told so")
    func bearer() {
        let desk = Desk()
        let headers: HeaderFields = ["authorization": "Bearer sk-ant-oat01-sim-401", "anthropic-version": "2023-06-01"]
        let plan = desk.send("POST", "/v1/messages", headers, Desk.request().encoded)
        #expect(plan.status == 401)
        #expect(plan.errorMessage?.hasPrefix("OAuth token has expired") == true)
    }

    @Test("hanging and reset calls have no head")
    func noHead() {
        let desk = Desk()
        let hang = desk.ask(model: "claude-sim-hang")
        #expect(hang.head == nil)
        #expect(hang.ending == .silence)
        let reset = desk.ask(model: "claude-sim-reset")
        #expect(reset.head == nil)
        #expect(reset.ending == .cut)
    }

    @Test(
        "a stream ends where the fault says",
        arguments: [
            ("cut0", AnswerPlan.Ending.cut, 0), ("cut3", .cut, 3), ("cut", .cut, 5), ("cut99", .cut, 10),
            ("cutclean2", .cutClean, 2), ("stall4", .silence, 4), ("errevent1", .errorEvent, 1),
        ]
    )
    func cuts(word: String, ending: AnswerPlan.Ending, deltas: Int) {
        let desk = Desk()
        for pace in ["", "-d1", "-fd5-d1"] {
            let plan = desk.ask(model: "claude-sim-e10-\(word)\(pace)", stream: true)
            #expect(plan.status == 200)
            #expect(plan.ending == ending)
            #expect(plan.contentEvents == deltas)
            #expect(plan.eventNames.first == "message_start")
            #expect(!plan.eventNames.contains("message_stop"))
            #expect(plan.eventNames.contains("error") == (ending == .errorEvent))
            #expect(plan.usage(after: plan.body.count).output == 1)
            #expect(plan.pieces.isEmpty == pace.isEmpty)
            #expect(plan.pieces.last.map { $0.end == plan.body.count } ?? true)
        }
    }

    @Test("the error event in a stream has the shape of an error")
    func errorEvent() {
        let desk = Desk()
        let event = desk.ask(model: "claude-sim-errevent2", stream: true).events.last
        #expect(event?.name == "error")
        #expect(event?.data["error"]?["type"] == "overloaded_error")
    }

    @Test(
        "a whole answer is broken in the middle of its body",
        arguments: [
            ("cut", AnswerPlan.Ending.cut, true), ("stall", .silence, true), ("cutclean", .cutClean, false),
        ]
    )
    func wholeCuts(word: String, ending: AnswerPlan.Ending, isAnnounced: Bool) {
        let desk = Desk()
        let whole = desk.ask(model: "claude-sim-\(word)-every2")
        let plan = desk.ask(model: "claude-sim-\(word)-every2")
        #expect(plan.ending == ending)
        #expect(plan.body == Array(whole.body.prefix(whole.body.count / 2)))
        #expect(plan.framing == (isAnnounced ? .announced(whole.body.count) : .pieces))
        #expect(plan.usage(after: plan.body.count) == ReportedUsage())
    }

    @Test("empty answers have status 200 and no content")
    func empty() {
        let desk = Desk()
        let stream = desk.ask(model: "claude-sim-empty", stream: true)
        #expect(stream.status == 200)
        #expect(stream.eventNames == ["message_start", "message_delta", "message_stop"])
        #expect(stream.ending == .empty)
        #expect(stream.usage.isEmpty)
        #expect(desk.ask(model: "claude-sim-empty").json["content"] == [])
        for isStream in [false, true] {
            let nothing = desk.ask(model: "claude-sim-emptybody", stream: isStream)
            #expect(nothing.status == 200)
            #expect(nothing.body.isEmpty)
        }
    }

    @Test("garbage is neither JSON nor events, a huge event is one event")
    func odd() {
        let desk = Desk()
        let garbage = desk.ask(model: "claude-sim-garbage", stream: true)
        #expect(garbage.events.isEmpty)
        #expect(String(validating: garbage.body, as: UTF8.self) == nil)
        let huge = desk.ask(model: "claude-sim-hugeevent2", stream: true)
        #expect(huge.contentEvents == 1)
        #expect(huge.streamed(0, "text").utf8.count == 2 << 20)
    }

    @Test("a wrong length, an encoding nobody asked for and a missing error body are as the words say")
    func framing() throws {
        let desk = Desk()
        let long = desk.ask(model: "claude-sim-longlength")
        #expect(long.framing == .announced(long.body.count + 100))
        let short = desk.ask(model: "claude-sim-shortlength")
        #expect(short.framing == .announced(short.body.count - 10))
        let gzip = desk.ask(model: "claude-sim-gzip")
        #expect(gzip.head?.headers["content-encoding"] == "gzip")
        #expect(gzip.body.starts(with: [0x1f, 0x8b, 8]))
        let bare = desk.ask(model: "claude-sim-500-nostatusbody")
        #expect(bare.status == 500)
        #expect(bare.body.isEmpty)
        #expect(desk.ask(model: "claude-sim-nostatusbody").status == 200)
    }

    @Test("delays stand where the words put them")
    func delays() {
        let desk = Desk()
        let plan = desk.ask(model: "claude-sim-e4-l30-fd20-d10-interim", stream: true)
        #expect(plan.headDelay == .milliseconds(30))
        #expect(plan.hasInterim)
        #expect(plan.pieces.map(\.delay) == [0, 20, 10, 10, 10].map { .milliseconds($0) })
        #expect(plan.pieces.last?.end == plan.body.count)
        #expect(desk.ask(model: "claude-sim-slow40").headDelay == .milliseconds(40))
    }

    @Test("a chopped body leaves in pieces of the size asked for", arguments: [1, 7, 4096])
    func chopped(size: Int) {
        let desk = Desk()
        for stream in [false, true] {
            let plan = desk.ask(model: "claude-sim-e3-chop\(size)", stream: stream)
            let ends = plan.pieces.map(\.end)
            #expect(ends.last == plan.body.count)
            #expect(zip(ends, [0] + ends).allSatisfy { (1...size).contains($0 - $1) })
        }
    }

    @Test("faults of the service come before the faults of the request, for every route")
    func order() {
        let desk = Desk()
        let key: HeaderFields = ["x-api-key": "sk-ant-sim-529"]
        for (method, path) in [
            ("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens"), ("GET", "/v1/models"),
        ] {
            #expect(desk.send(method, path, key, Array("not json".utf8)).status == 529)
        }
        #expect(desk.send("POST", "/v1/messages", [:], []).status == 401)
    }
}
