import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

@Suite("What holds in every dialect")
struct EveryDialectTests {
    typealias Question = Dialect.Question

    @Test("the answer repeats the user's text, streamed or whole", arguments: Dialect.allCases)
    func echo(dialect: Dialect) {
        let desk = Desk()
        for isStream in [false, true] {
            let question = Question(text: "Grüße, \"quoted\" 🥊", isStream: isStream)
            let plan = desk.ask(dialect, question)
            #expect(plan.status == 200)
            let reading = dialect.read(plan, isStream: isStream)
            let digest = Digest(dialect.request(question).body).hex
            #expect(reading.text == "[sim \(digest)] Grüße, \"quoted\" 🥊")
            #expect(reading.stopReason == dialect.stopReasons.end)
            #expect(reading.thinking == "")
            #expect(plan.ending == .complete)
        }
    }

    @Test("words set events, bytes and pauses alike", arguments: Dialect.allCases)
    func words(dialect: Dialect) {
        let desk = Desk()
        let paced = desk.ask(dialect, Question(model: "claude-sim-e7-fd20-d10-l5", isStream: true))
        #expect(dialect.read(paced, isStream: true).textEvents == 7)
        #expect(paced.headDelay == .milliseconds(5))
        let pauses = paced.pieces.map(\.delay).filter { $0 > .zero }
        #expect(pauses == [.milliseconds(20)] + Array(repeating: .milliseconds(10), count: 6))
        #expect(paced.pieces.last?.end == paced.body.count)
        for isStream in [false, true] {
            let long = desk.reading(dialect, Question(model: "claude-sim-b70000", isStream: isStream))
            #expect(long.text.utf8.count == 70_000)
            #expect(long.stopReason == dialect.stopReasons.end)
        }
    }

    @Test("usage is what the words say, in each class, and reported at the end", arguments: Dialect.allCases)
    func usage(dialect: Dialect) {
        let desk = Desk()
        for isStream in [false, true] {
            let plan = desk.ask(
                dialect,
                Question(model: "claude-sim-i31-o17-cr200-rt5", isStream: isStream, isThinking: true)
            )
            let usage = plan.usage(after: plan.body.count)
            #expect(usage.input == 31)
            #expect(usage.output == 17)
            #expect(usage.cacheRead == 200)
            #expect(usage.reasoning == 5)
            #expect(usage.cacheWrite5m + usage.cacheWrite1h + usage.webSearches == 0)
        }
    }

    @Test("tools are called, in parallel too, with arguments that fit", arguments: Dialect.allCases)
    func tools(dialect: Dialect) {
        let desk = Desk()
        for isStream in [false, true] {
            let one = desk.reading(
                dialect,
                Question(text: "use tool get_time", isStream: isStream, hasTools: true)
            )
            #expect(one.calls == [["get_time", ["zone": "sim zone"]]])
            #expect(one.stopReason == dialect.stopReasons.tools)
            let both = desk.reading(
                dialect,
                Question(text: "use all tools", isStream: isStream, hasTools: true)
            )
            #expect(
                both.calls == [
                    ["get_weather", ["city": "sim city", "days": 7]], ["get_time", ["zone": "sim zone"]],
                ]
            )
            let asked = desk.reading(
                dialect,
                Question(model: "claude-sim-tools3", isStream: isStream, hasTools: true)
            )
            #expect(asked.calls.count == 3)
            #expect(desk.reading(dialect, Question(isStream: isStream, hasTools: true)).calls.isEmpty)
        }
    }

    @Test("a stop sequence and a limit of tokens cut the text", arguments: Dialect.allCases)
    func cuts(dialect: Dialect) {
        let desk = Desk()
        for isStream in [false, true] {
            let short = desk.reading(
                dialect,
                Question(text: String(repeating: "long ", count: 50), isStream: isStream, maxTokens: 16)
            )
            #expect(short.text.utf8.count == 64)
            #expect(short.stopReason == dialect.stopReasons.length)
            guard dialect.hasStopSequences else { continue }
            let stopped = desk.reading(
                dialect,
                Question(text: "one STOP two", isStream: isStream, stop: ["STOP"])
            )
            #expect(stopped.text.hasSuffix("one "))
            #expect(stopped.stopReason == dialect.stopReasons.stop)
        }
    }

    @Test(
        "an error status has the platform's own body and no usage",
        arguments: Dialect.allCases,
        [400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504, 529]
    )
    func statuses(dialect: Dialect, status: Int) {
        let plan = Desk().ask(dialect, Question(model: "claude-sim-\(status)", isStream: true))
        #expect(plan.status == status)
        #expect(!plan.body.isEmpty)
        #expect(plan.usage.isEmpty)
        #expect(plan.fault == "\(status)")
        #expect(plan.model == "claude-sim-\(status)")
    }

    @Test(
        "broken answers break off where the words say",
        arguments: Dialect.allCases,
        [
            ("cut2", .cut), ("cutclean2", .cutClean), ("stall2", .silence), ("errevent2", .errorEvent),
            ("empty", .empty), ("emptybody", .empty), ("garbage", .cutClean), ("hugeevent1", .complete),
            ("longlength", .cut), ("shortlength", .cutClean), ("gzip", .complete),
        ] as [(String, AnswerPlan.Ending)]
    )
    func broken(dialect: Dialect, fault: (word: String, ending: AnswerPlan.Ending)) {
        let desk = Desk()
        let plan = desk.ask(dialect, Question(model: "claude-sim-e6-\(fault.word)", isStream: true))
        #expect(plan.status == 200)
        #expect(plan.ending == fault.ending)
        let reading = dialect.read(plan, isStream: true)
        switch fault.word {
        case "cut2", "cutclean2", "stall2", "errevent2": #expect(reading.textEvents == 2)
        case "empty", "emptybody", "garbage": #expect(reading.textEvents == 0)
        case "hugeevent1":
            #expect(reading.textEvents == 1)
            #expect(reading.text.utf8.count == 1 << 20)
        default: break
        }
    }

    @Test("keys have words, and a key that is not good is refused", arguments: Dialect.allCases)
    func keys(dialect: Dialect) {
        let desk = Desk()
        #expect(desk.ask(dialect, Question(key: "k-sim-429-a")).status == 429)
        desk.state.credentials.revoked = ["bad"]
        let refused = desk.ask(dialect, Question(key: "bad"))
        #expect(refused.status == dialect.refusedKeyStatus)
        #expect(desk.ask(dialect, Question(key: "good")).status == 200)
    }

    @Test("a body that is no JSON, or no object, is refused with 400", arguments: Dialect.allCases)
    func badBodies(dialect: Dialect) {
        let desk = Desk()
        let (head, body) = dialect.request(Question())
        for bad in [Array("{".utf8), Array("[]".utf8), Array("{}".utf8), [], [0xff, 0xfe]] {
            #expect(desk.send("POST", head.target, head.headers, bad).status == 400)
        }
        for end in stride(from: 1, to: body.count, by: 7) {
            #expect(desk.send("POST", head.target, head.headers, Array(body[..<end])).status == 400)
        }
        #expect(desk.send("POST", head.target, head.headers, nil).status == 413)
    }
}
