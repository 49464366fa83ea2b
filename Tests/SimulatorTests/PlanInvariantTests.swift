import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

/// Always the same numbers (SplitMix64).
private struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

@Suite("What holds for every plan")
struct PlanInvariantTests {
    private static let words = [
        "e1", "e7", "e90", "b0", "b1", "b333", "l1", "fd2", "d3", "chop1", "chop50", "tools", "tools4", "i0", "o0",
        "o99999999999999999999", "cr1", "cw2", "c1h3", "ws1", "interim", "400", "403html", "429retry9", "529",
        "nostatusbody", "hang", "reset", "slow9", "cut", "cut0", "cut3", "cutclean", "stall1", "errevent", "empty",
        "emptybody", "garbage", "hugeevent1", "gzip", "longlength", "shortlength", "every2", "first1", "firstall1",
        "every0", "tag", "", "é", "0",
    ]

    @Test("pieces cover the body in order, usage stands within it, and lengths are not negative", arguments: 0..<8)
    func invariants(seed: UInt64) {
        var random = Seeded(state: seed)
        let desk = Desk()
        let tools: JSON = [["name": "a", "input_schema": ["properties": ["x": ["type": "string"]]]]]
        for _ in 0..<150 {
            let words = (0..<Int.random(in: 1...6, using: &random)).compactMap { _ in
                Self.words.randomElement(using: &random)
            }
            let model = "claude-sim-" + words.joined(separator: "-")
            var request = Desk.request(model: model, text: "üse all tools 🥊", stream: .random(using: &random))
            if Bool.random(using: &random) { request["tools"] = tools }
            if Bool.random(using: &random) { request["thinking"] = ["type": "adaptive"] }
            if Bool.random(using: &random) { request["stop_sequences"] = ["two", "]"] }
            check(desk.ask(request), model)
        }
    }

    private func check(_ plan: AnswerPlan, _ model: String) {
        let ends = plan.pieces.map(\.end)
        #expect(zip(ends, ends.dropFirst()).allSatisfy { $0 <= $1 }, "\(model)")
        #expect(ends.isEmpty || ends.last == plan.body.count, "\(model)")
        #expect(plan.pieces.allSatisfy { $0.delay >= .zero }, "\(model)")
        #expect(zip(plan.usage, plan.usage.dropFirst()).allSatisfy { $0.offset <= $1.offset }, "\(model)")
        #expect(plan.head != nil || plan.ending == .silence || plan.ending == .cut, "\(model)")
        if case .announced(let length) = plan.framing { #expect(length >= 0, "\(model)") }
        if plan.ending == .complete, plan.status == 200, plan.body.first == UInt8(ascii: "{") {
            #expect(plan.json["type"] == "message", "\(model)")
        }
    }
}
