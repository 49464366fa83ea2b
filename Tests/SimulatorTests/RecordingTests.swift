import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

@Suite("Recording and control")
struct RecordingTests {
    private func record(_ id: Int, body: [UInt8] = [], key: String = "k", usage: Int? = nil) -> RequestRecord {
        var plan = AnswerPlan(200, [:], body: [])
        if let usage {
            var reported = ReportedUsage()
            reported.input = usage
            plan.usage = [(0, reported)]
        }
        return RequestRecord(
            id: id,
            head: HTTPRequestHead(method: "POST", target: "/v1/messages"),
            body: body,
            credential: Credential(.apiKey, key),
            version: .http2,
            isTLS: false,
            receivedAt: 0,
            plan: plan
        )
    }

    @Test("the log keeps the last ten thousand records, in order")
    func ring() {
        let log = RequestLog()
        for id in 1...25_000 { log.open(record(id)) }
        #expect(log.records(after: 0, limit: 100_000).map(\.id) == Array(15_001...25_000))
        #expect(log.records(after: 24_998, limit: 10).map(\.id) == [24_999, 25_000])
        #expect(log.records(after: 20_000, limit: 2).map(\.id) == [20_001, 20_002])
        #expect(log.records(after: 99_999, limit: 2).isEmpty)
        #expect(log.records(after: .max, limit: 2).isEmpty)
        #expect(log.totals.calls == 25_000)
    }

    @Test("the oldest bodies go when all are too large, and a long one is cut")
    func bodies() {
        let log = RequestLog(mostBytes: 100)
        for id in 1...50 { log.open(record(id, body: [UInt8](repeating: 1, count: 10))) }
        let records = log.records(after: 0, limit: 1000)
        #expect(records.map { $0.body == nil } == (1...50).map { $0 <= 40 })
        let long = record(51, body: [UInt8](repeating: 1, count: 2 << 20))
        #expect(long.body?.count == 1 << 20)
        #expect(long.bodyCount == 2 << 20)
    }

    @Test("sums count usage once, and complete answers apart from broken ones")
    func sums() {
        let log = RequestLog()
        var usage = ReportedUsage()
        usage.input = 7
        for (id, end) in [(1, CallEnd.complete), (2, .cut), (3, .callerGone), (4, .complete)] {
            let record = record(id, key: id == 4 ? "other" : "k", usage: 7)
            log.open(record)
            log.close(record, end, bytesSent: 1, usage: usage, now: 5)
            log.close(record, .complete, bytesSent: 1, usage: usage, now: 5)
        }
        #expect(log.openCalls == 0)
        #expect(log.totals.completed == 2)
        #expect(log.totals.completedUsage.input == 14)
        #expect(log.totals.usage.input == 28)
        #expect(log.byCredential["k"]?.completedUsage.input == 7)
        #expect(log.byStatus == [200: 4])
        #expect(log.byEnd == [.complete: 2, .cut: 1, .callerGone: 1])
    }

    @Test("a call from before a clearing is not counted after it")
    func clearing() {
        let log = RequestLog()
        let old = record(1, usage: 7)
        log.open(old)
        log.clear()
        let new = record(2, usage: 7)
        log.open(new)
        for record in [old, new] { log.close(record, .complete, bytesSent: 0, usage: ReportedUsage(), now: 0) }
        #expect(log.totals.calls == 1)
        #expect(log.totals.completed == 1)
        #expect(log.openCalls == 0)
    }

    /// The control API on a log of its own.
    final class Panel {
        let log = RequestLog()
        var state = SimulatorState()
        let parser = JSONParser()

        func send(_ method: String, _ path: String, _ body: JSON? = nil) -> AnswerPlan {
            ControlAPI(log: log, parser: parser).answer(
                HTTPRequestHead(method: method, target: "/__sim/\(path)"),
                body: body?.encoded ?? [],
                &state
            )
        }
    }

    @Test("faults are armed, listed and disarmed by id")
    func faults() {
        let panel = Panel()
        let armed = panel.send("POST", "faults", ["words": "529-l5", "count": 3, "credential": "k", "model": "m*"])
        #expect(armed.status == 201)
        #expect(armed.json == ["id": 1, "words": "529-l5", "remaining": 3, "credential": "k", "model": "m*"])
        #expect(panel.send("GET", "faults").json["faults"]?.array?.count == 1)
        #expect(panel.state.faults.words(credential: "k", model: "mm").headDelay == 5)
        #expect(panel.send("DELETE", "faults/1").status == 200)
        #expect(panel.send("DELETE", "faults/1").status == 404)
        #expect(panel.send("GET", "faults").json["faults"] == [])
    }

    @Test(
        "bad control calls are refused",
        arguments: [
            ("faults", nil), ("faults", "x"), ("faults", [:]), ("faults", ["words": "no-such-word"]),
            ("faults", ["words": "529", "count": 0]), ("faults", ["words": "529", "model": 1]),
            ("credentials", nil), ("credentials", []), ("credentials", ["valid": "a"]), ("credentials", ["valid": [1]]),
            ("credentials", ["revoked": .null]),
        ] as [(String, JSON?)]
    )
    func refused(path: String, body: JSON?) {
        let panel = Panel()
        let plan = panel.send("POST", path, body)
        #expect(plan.status == 400)
        #expect(plan.json["error"]?.string != nil)
    }

    @Test("credentials are named, revoked and freed again")
    func credentials() {
        let panel = Panel()
        #expect(panel.send("POST", "credentials", ["valid": ["a", "b"], "revoked": ["b"]]).status == 200)
        #expect(panel.send("GET", "credentials").json == ["valid": ["a", "b"], "revoked": ["b"]])
        #expect(panel.state.credentials.accepts("a"))
        #expect(!panel.state.credentials.accepts("b"))
        _ = panel.send("POST", "credentials", ["valid": .null])
        #expect(panel.state.credentials.accepts("c"))
        _ = panel.send("POST", "reset")
        #expect(panel.state.credentials.accepts("b"))
    }

    @Test("records are shown with headers, body and figures")
    func shown() {
        let panel = Panel()
        let head = HTTPRequestHead(
            method: "POST",
            target: "/v1/messages?beta=true",
            headers: ["x-api-key": "k", "x-twice": "1", "X-Twice": "2"]
        )
        var plan = AnswerPlan(200, [:], body: [])
        plan.model = "m"
        let record = RequestRecord(
            id: 1,
            head: head,
            body: Array(#"{"a":1}"#.utf8),
            credential: Credential(.apiKey, "k"),
            version: .http1,
            isTLS: true,
            receivedAt: 1_800_000_000_000_001,
            plan: plan
        )
        panel.log.open(record)
        panel.log.close(record, .complete, bytesSent: 9, usage: ReportedUsage(), now: 1_800_000_000_000_501)
        let binary = self.record(2, body: [0xff])
        panel.log.open(binary)
        let shown = panel.send("GET", "requests?since=0").json
        #expect(shown["last"] == 2)
        let first = shown["requests"]?[0]
        #expect(first?["time"] == "2027-01-15T08:00:00.000001Z")
        #expect(first?["path"] == "/v1/messages")
        #expect(first?["query"] == "beta=true")
        #expect(first?["protocol"] == "http/1.1")
        #expect(first?["tls"] == true)
        #expect(first?["headers"] == [["x-api-key", "k"], ["x-twice", "1"], ["x-twice", "2"]])
        #expect(first?["body"] == #"{"a":1}"#)
        #expect(first?["end"] == "complete")
        #expect(first?["bytes_sent"] == 9)
        #expect(first?["duration_us"] == 500)
        #expect(shown["requests"]?[1]?["body_base64"] == "/w==")
        #expect(shown["requests"]?[1]?["end"] == "open")
        #expect(panel.send("GET", "requests?since=1&bodies=0").json["requests"]?[0]?["body_base64"] == nil)
        #expect(panel.send("GET", "stats").json["by_status"] == ["200": 1])
        #expect(panel.send("GET", "requests?limit=0").status == 400)
        #expect(panel.send("GET", "nothing").status == 404)
    }
}
