import Redis
import TestSupport
import Testing

@Suite("Reading RESP")
struct RedisReplyReaderTests {
    /// Feeds the pieces to a new reader.
    private func read(_ pieces: [[UInt8]], reader: RedisReplyReader = RedisReplyReader()) throws -> [RedisValue] {
        var values: [RedisValue] = []
        for piece in pieces {
            try piece.withUnsafeBytes { bytes in
                try reader.feed(bytes) { reply in
                    values.append(RedisValue(reply))
                    return true
                }
            }
        }
        return values
    }

    static let conversation: [UInt8] = Array(
        ("+OK\r\n:-42\r\n:9223372036854775807\r\n$-1\r\n*-1\r\n$0\r\n\r\n$5\r\na\r\nb\0\r\n-ERR no\r\n*0\r\n"
            + "*3\r\n$1\r\nx\r\n*2\r\n:1\r\n*1\r\n$-1\r\n+y\r\n*2\r\n-WRONG z\r\n*0\r\n").utf8
    )
    static let values: [RedisValue] = [
        .status("OK"), .integer(-42), .integer(.max), .null, .null, .string([]), .string(Array("a\r\nb\0".utf8)),
        .error("ERR no"), .array([]),
        .array([.string([0x78]), .array([.integer(1), .array([.null])]), .status("y")]),
        .array([.error("WRONG z"), .array([])]),
    ]

    @Test("answers of every kind are read, whole, split in two at every offset, and byte by byte")
    func splits() throws {
        let bytes = Self.conversation
        #expect(try read([bytes]) == Self.values)
        for offset in 0...bytes.count {
            #expect(try read([Array(bytes[..<offset]), Array(bytes[offset...])]) == Self.values)
        }
        #expect(try read(bytes.map { [$0] }) == Self.values)
    }

    @Test("a string larger than every buffer comes back whole, and small answers around it too")
    func largeString() throws {
        let body = (0..<500_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let bytes = Array(":1\r\n$500000\r\n".utf8) + body + Array("\r\n:2\r\n".utf8)
        let pieces = stride(from: 0, to: bytes.count, by: 65_536).map {
            Array(bytes[$0..<min($0 + 65_536, bytes.count)])
        }
        #expect(try read(pieces) == [.integer(1), .string(body), .integer(2)])
    }

    @Test("reading stops where the receiver says so")
    func stops() throws {
        var count = 0
        try Array("+a\r\n+b\r\n+c\r\n".utf8).withUnsafeBytes { bytes in
            try RedisReplyReader().feed(bytes) { _ in
                count += 1
                return count < 2
            }
        }
        #expect(count == 2)
    }

    @Test(
        "what is not RESP, too deep or too large is an error",
        arguments: [
            "HTTP/1.1 400 Bad Request\r\n", "$x\r\n", "$-2\r\n", "*-2\r\n", ":1x\r\n", ":\r\n",
            ":9223372036854775808\r\n", "*2147483648\r\n", "*99999999\r\n", "$9223372036854775808\r\n",
            String(repeating: "*1\r\n", count: 9),
        ]
    )
    func refuses(_ text: String) {
        #expect(throws: RedisProtocolError.self) { try read([Array(text.utf8)]) }
    }

    @Test("seven levels of arrays are read")
    func nesting() throws {
        let values = try read([Array((String(repeating: "*1\r\n", count: 7) + ":1\r\n").utf8)])
        var expected = RedisValue.integer(1)
        for _ in 0..<7 { expected = .array([expected]) }
        #expect(values == [expected])
    }

    @Test("an answer may have so many bytes and elements and no more; finished answers do not count")
    func limits() throws {
        let small = Array("$10\r\n0123456789\r\n".utf8)
        let reader = RedisReplyReader(maximumBytes: 100, maximumElements: 5)
        for _ in 0..<100 {
            let values = try read([small], reader: reader)
            #expect(values.count == 1)
        }
        #expect(throws: RedisProtocolError.self) {
            try read(Array(repeating: Array("$1000\r\n0123456789".utf8), count: 10), reader: reader)
        }
        let nested = Array("*2\r\n*2\r\n:1\r\n:2\r\n*2\r\n:3\r\n:4\r\n".utf8)
        #expect(throws: RedisProtocolError.self) {
            try read([nested], reader: RedisReplyReader(maximumElements: 5))
        }
        #expect(try read([nested], reader: RedisReplyReader(maximumElements: 7)).count == 1)
    }

    @Test("a line that never ends is given up", arguments: ["+", "-", ":", "$", "*"])
    func endlessLine(kind: String) {
        let chunk = [UInt8](repeating: UInt8(ascii: "1"), count: 16_384)
        #expect(throws: RedisProtocolError.self) {
            try read([Array(kind.utf8)] + Array(repeating: chunk, count: 8))
        }
    }

    @Test("a lying length ties up no memory")
    func lyingLength() throws {
        #expect(try read([Array("*16000000\r\n".utf8), Array("$500000000\r\nabc".utf8)]).isEmpty)
    }

    @Test("random and damaged bytes never crash the reader")
    func noise() {
        var chance = SeededGenerator(seed: 42)
        let kinds = Array("+-:$*0123456789\r\n".utf8)
        for round in 0..<20_000 {
            var bytes: [UInt8]
            if round.isMultiple(of: 2) {
                bytes = (0..<Int.random(in: 0...200, using: &chance)).map { _ in
                    kinds.randomElement(using: &chance) ?? 0
                }
            } else {
                bytes = Self.conversation
                for _ in 0..<3 {
                    bytes[Int.random(in: 0..<bytes.count, using: &chance)] = .random(in: 0...255, using: &chance)
                }
            }
            let cut = Int.random(in: 0...bytes.count, using: &chance)
            _ = try? read([Array(bytes[..<cut]), Array(bytes[cut...])])
        }
    }
}
