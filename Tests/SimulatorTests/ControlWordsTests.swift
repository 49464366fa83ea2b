import Testing

@testable import SimulatorKit

@Suite("Control words")
struct ControlWordsTests {
    @Test(
        "each number word sets its figure and no other",
        arguments: [
            "e", "b", "l", "fd", "d", "chop", "tools", "i", "o", "cr", "cw", "c1h", "ws",
        ]
    )
    func numbers(word: String) {
        let words = ControlWords(in: "claude-sonnet-4-5-sim-\(word)17")
        let figures: KeyValuePairs<String, Int?> = [
            "e": words.events, "b": words.bytes, "l": words.headDelay, "fd": words.contentDelay,
            "d": words.eventDelay, "chop": words.pieceBytes, "tools": words.toolCalls, "i": words.inputTokens,
            "o": words.outputTokens, "cr": words.cacheReadTokens, "cw": words.cacheWriteTokens,
            "c1h": words.cacheWrite1hTokens, "ws": words.webSearches,
        ]
        for (name, figure) in figures { #expect(figure == (name == word ? 17 : nil)) }
        #expect(words.fault == nil)
        // Only `tools` means something alone.
        #expect((ControlWords(in: "sim-\(word)") == ControlWords()) == (word != "tools"))
    }

    @Test(
        "each fault word names its fault",
        arguments: [
            ("hang", .hang), ("reset", .reset), ("slow", .slowHead(10_000)), ("slow50", .slowHead(50)),
            ("cut", .cut(after: nil)), ("cut3", .cut(after: 3)), ("cutclean0", .cutClean(after: 0)),
            ("stall2", .stall(after: 2)), ("errevent1", .errorEvent(after: 1)), ("empty", .empty),
            ("emptybody", .emptyBody), ("garbage", .garbage), ("hugeevent", .hugeEvent(1)),
            ("hugeevent4", .hugeEvent(4)),
            ("gzip", .gzip), ("longlength", .longLength), ("shortlength", .shortLength),
            ("529", .status(529, variant: "", amount: nil)),
            ("400credit", .status(400, variant: "credit", amount: nil)),
            ("429retry30", .status(429, variant: "retry", amount: 30)),
        ] as [(String, Fault)]
    )
    func faults(word: String, fault: Fault) {
        #expect(ControlWords(in: "claude-sim-\(word)").fault == fault)
        #expect(ControlWords(in: "sk-ant-SIM-\(word.uppercased())-a1b2").fault == fault)
    }

    @Test("words combine in any order and others are ignored")
    func combined() {
        let words = ControlWords(in: "us.anthropic.claude-sim-e10-tag-d2-20250929-429-every3-interim-v1:0")
        #expect(words.events == 10)
        #expect(words.eventDelay == 2)
        #expect(words.fault == .status(429, variant: "", amount: nil))
        #expect(words.gate.every == 3)
        #expect(words.hasInterim)
    }

    @Test(
        "a name without the marker has no words",
        arguments: [
            "", "claude-sonnet-4-5-20250929", "claude-429-e10", "sim", "-sim", "maxsim-429", "sim-", "sim--", "sim-éé-",
            "simsim-429",
        ]
    )
    func none(name: String) {
        #expect(ControlWords(in: name) == ControlWords())
    }

    @Test("absurd numbers are bounded", arguments: ["99999999999999999999999", "18446744073709551615", "4294967296"])
    func bounds(number: String) {
        let words = ControlWords(in: "sim-e\(number)-b\(number)-d\(number)-l\(number)-chop\(number)-hugeevent\(number)")
        #expect(words.events == 100_000)
        #expect(words.bytes == 64 << 20)
        #expect(words.eventDelay == 3_600_000)
        #expect(words.headDelay == 3_600_000)
        #expect(words.fault == .hugeEvent(64))
    }
}
