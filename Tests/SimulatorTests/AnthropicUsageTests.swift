import Formats
import Testing

@testable import SimulatorKit

@Suite("Usage of the Anthropic simulator")
struct AnthropicUsageTests {
    private func figures(_ plan: AnswerPlan) -> [Int?] {
        let usage = plan.json["usage"]
        return [
            usage?["input_tokens"]?.int, usage?["cache_creation"]?["ephemeral_5m_input_tokens"]?.int,
            usage?["cache_creation"]?["ephemeral_1h_input_tokens"]?.int, usage?["cache_read_input_tokens"]?.int,
        ]
    }

    private func block(_ bytes: Int, _ control: JSON? = nil) -> JSON {
        var block: JSON = ["type": "text", "text": .string(String(repeating: "x", count: bytes))]
        if let control { block["cache_control"] = control }
        return block
    }

    private let five: JSON = ["type": "ephemeral"]
    private let hour: JSON = ["type": "ephemeral", "ttl": "1h"]

    @Test("a token is four bytes of prompt or answer, rounded up", arguments: [1, 4, 5, 400])
    func plain(bytes: Int) {
        let desk = Desk()
        let plan = desk.ask(Desk.request(text: [block(bytes)]))
        #expect(figures(plan) == [(bytes + 3) / 4, 0, 0, 0])
        #expect(plan.json["usage"]?["output_tokens"]?.int == ("[sim 0123456789abcdef] ".utf8.count + bytes + 3) / 4)
    }

    @Test("what is marked is written once, then read, until it expires")
    func cached() {
        let desk = Desk()
        let request = Desk.request(text: [block(400, five), block(40)])
        #expect(figures(desk.ask(request)) == [10, 100, 0, 0])
        #expect(figures(desk.ask(request)) == [10, 0, 0, 100])
        desk.now += 299_000_000
        #expect(figures(desk.ask(request)) == [10, 0, 0, 100])
        desk.now += 301_000_000
        #expect(figures(desk.ask(request)) == [10, 100, 0, 0])
        #expect(figures(desk.ask(request, key: "another")) == [10, 100, 0, 0])
    }

    @Test("each lifetime is counted in its own class, and a longer prompt reads what a shorter one wrote")
    func lifetimes() {
        let desk = Desk()
        let first = Desk.request(text: [block(40)], ["system": [block(400, hour), block(80, five)]])
        #expect(figures(desk.ask(first)) == [10, 20, 100, 0])
        let second = Desk.request(text: [block(40), block(200, five)], ["system": [block(400, hour), block(80)]])
        #expect(figures(desk.ask(second)) == [0, 80, 0, 100])
        #expect(figures(desk.ask(second)) == [0, 0, 0, 180])
    }

    @Test("a mark that moves on keeps what came before it", arguments: [false, true])
    func moving(stream: Bool) {
        let desk = Desk()
        _ = desk.ask(Desk.request(text: [block(100, five)]))
        let plan = desk.ask(Desk.request(text: [block(100), block(60, five)]))
        // Only marks are looked up: the first one is gone from this request.
        #expect(figures(plan) == [0, 40, 0, 0])
    }

    @Test("words override every figure, streamed or not")
    func overrides() {
        let desk = Desk()
        let model = "claude-sim-i1-o2-cr3-cw4-c1h5-ws6"
        let whole = desk.ask(model: model)
        #expect(figures(whole) == [1, 4, 5, 3])
        #expect(whole.json["usage"]?["cache_creation_input_tokens"] == 9)
        #expect(whole.json["usage"]?["output_tokens"] == 2)
        #expect(whole.json["usage"]?["server_tool_use"]?["web_search_requests"] == 6)
        let streamed = desk.ask(model: model, stream: true)
        let start = streamed.events.first?.data["message"]?["usage"]
        #expect(start?["cache_creation"] == ["ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5])
        #expect(start?["output_tokens"] == 1)
        let end = streamed.events.first { $0.name == "message_delta" }?.data["usage"]
        #expect(end?["output_tokens"] == 2)
        #expect(end?["server_tool_use"]?["web_search_requests"] == 6)
        var expected = ReportedUsage()
        (expected.input, expected.output, expected.cacheRead) = (1, 2, 3)
        (expected.cacheWrite5m, expected.cacheWrite1h, expected.webSearches) = (4, 5, 6)
        #expect(whole.usage.last?.total == expected)
        #expect(streamed.usage.last?.total == expected)
    }

    @Test("usage counts as reported when the event that reports it has left")
    func reported() {
        let desk = Desk()
        let plan = desk.ask(model: "claude-sim-i10-o20-e5", stream: true)
        #expect(plan.usage(after: 0) == ReportedUsage())
        #expect(plan.usage(after: plan.usage[0].offset - 1) == ReportedUsage())
        #expect(plan.usage(after: plan.usage[0].offset).input == 10)
        #expect(plan.usage(after: plan.usage[0].offset).output == 1)
        #expect(plan.usage(after: plan.usage[1].offset - 1).output == 1)
        #expect(plan.usage(after: plan.usage[1].offset).output == 20)
    }

    @Test("five marks are one too many, a lifetime must be known")
    func refused() {
        let desk = Desk()
        let many = desk.ask(Desk.request(text: .array((0..<5).map { _ in block(4, five) })))
        #expect(many.errorMessage == "A maximum of 4 blocks with cache_control may be provided. Found 5.")
        let odd = desk.ask(Desk.request(text: [block(4, ["type": "ephemeral", "ttl": "2h"])]))
        #expect(odd.errorMessage == "messages.0.content.0.cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
    }
}
