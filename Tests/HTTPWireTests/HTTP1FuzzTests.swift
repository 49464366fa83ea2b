import HTTPWire
import TestSupport
import Testing

@Suite("The HTTP/1.1 parser and spoiled input")
struct HTTP1FuzzTests {
    private static let telling = [UInt8]("\r\n :;,0123456789abcdefxX\t\0\u{7f}/".utf8) + [0xff, 0x80]

    @Test(
        "spoiled messages neither crash it nor make it read differently when they are cut differently",
        arguments: [HTTP1Parser.Kind.requests, .responses]
    )
    func mutations(kind: HTTP1Parser.Kind) {
        var chance = SeededGenerator(seed: kind == .requests ? 1 : 2)
        let corpus = (kind == .requests ? HTTP1ParserTests.requests : HTTP1ParserTests.responses).map {
            [UInt8]($0.utf8)
        }
        var refused = 0
        let rounds = 10_000
        for round in 0..<rounds {
            let message = corpus[chance.below(corpus.count)]
            let input = chance.mutated(message + (chance.below(4) == 0 ? message : []), alphabet: Self.telling)
            let whole = ParserTrace(kind, input)
            let cut = ParserTrace(
                kind,
                input,
                cuts: (0..<chance.below(7)).map { _ in chance.below(input.count + 1) }.sorted()
            )
            #expect(
                whole.events == cut.events,
                "round \(round): \(String(decoding: input, as: UTF8.self).debugDescription)"
            )
            #expect((whole.error == nil) == (cut.error == nil), "round \(round)")
            if whole.error != nil { refused += 1 }
            #expect(whole.ends <= input.count / 16)
        }
        // The mutations are worth something: they break many messages, and not all.
        #expect(refused > rounds / 4)
        #expect(refused < rounds)
    }
}
