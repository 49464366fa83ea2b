import Testing

@testable import SimulatorKit

@Suite("Which call a fault strikes")
struct FaultDeskTests {
    private func strikes(_ desk: inout FaultDesk, _ credential: String?, _ model: String?) -> Bool {
        desk.words(credential: credential, model: model).fault != nil
    }

    @Test("every nth call of a model, whoever makes it")
    func every() {
        var desk = FaultDesk()
        let struck = ["a", "b", "a", "b", "a", "b"].map { strikes(&desk, $0, "sim-529-every3") }
        #expect(struck == [false, false, true, false, false, true])
    }

    @Test("the first n calls of each credential")
    func firstOfEach() {
        var desk = FaultDesk()
        let struck = ["a", "a", "b", "a", "b", "b"].map { strikes(&desk, $0, "sim-529-first2") }
        #expect(struck == [true, true, true, false, true, false])
    }

    @Test("the first n calls of a model; another name counts anew")
    func firstOfAll() {
        var desk = FaultDesk()
        let struck = ["a", "b", "a"].map { strikes(&desk, $0, "sim-529-firstall2") }
        #expect(struck == [true, true, false])
        #expect(strikes(&desk, "a", "sim-529-firstall2-other"))
    }

    @Test("a key's fault goes before the model's, and its counts are its own")
    func keys() {
        var desk = FaultDesk()
        let first = desk.words(credential: "sk-ant-sim-529-first1", model: "sim-500-e3")
        #expect(first.fault == .status(529, variant: "", amount: nil))
        #expect(first.events == 3)
        let second = desk.words(credential: "sk-ant-sim-529-first1", model: "sim-500-e3")
        #expect(second.fault == .status(500, variant: "", amount: nil))
    }

    @Test("an armed fault strikes as often as asked, where it matches, before all others")
    func armed() throws {
        var desk = FaultDesk()
        let armed = desk.arm("503", count: 2, credential: "a", model: "claude-*")
        let fault = try #require(armed)
        #expect(!strikes(&desk, "b", "claude-x"))
        #expect(!strikes(&desk, "a", "gpt"))
        #expect(!strikes(&desk, "a", nil))
        let words = desk.words(credential: "a", model: "claude-sim-429")
        #expect(words.fault == .status(503, variant: "", amount: nil))
        #expect(desk.armed.map(\.remaining) == [1])
        #expect(strikes(&desk, "a", "claude-x"))
        #expect(!strikes(&desk, "a", "claude-x"))
        let isDisarmed = desk.disarm(id: fault.id)
        #expect(!isDisarmed)
    }

    @Test("clearing disarms and counts anew")
    func clear() throws {
        var desk = FaultDesk()
        _ = desk.arm("hang", count: 5, credential: nil, model: nil)
        #expect(strikes(&desk, nil, nil))
        desk.clear()
        #expect(!strikes(&desk, nil, nil))
    }

    @Test("neither counters nor armed faults grow without bound")
    func bounds() {
        var desk = FaultDesk()
        for number in 0..<25_000 { _ = strikes(&desk, "k", "sim-500-first1-\(number)") }
        #expect(desk.counterCount <= 20_000)
        for _ in 0..<1_000 { _ = desk.arm("500", count: 1, credential: "never", model: nil) }
        let oneMore = desk.arm("500", count: 1, credential: nil, model: nil)
        #expect(desk.armed.count == 1_000)
        #expect(oneMore == nil)
    }
}
