import Formats
import TestSupport
import Testing

@Suite("AWS event streams")
struct AWSEventStreamTests {
    struct Message: Equatable {
        var headers: [String: AWSEventStream.Value] = [:]
        var payload: [UInt8] = []
    }

    /// What a parser makes of a stream that comes in these chunks, and whether it ended within a message.
    static func messages(
        _ chunks: [ArraySlice<UInt8>],
        maximum: Int = 1 << 20
    ) throws -> (messages: [Message], isCut: Bool) {
        var parser = AWSEventStreamParser(maximumMessageBytes: maximum)
        var messages: [Message] = []
        for chunk in chunks {
            try chunk.withUnsafeBytes {
                try parser.feed($0) { message in
                    let headers = message.headers.map { ($0.name, $0.value) }
                    messages.append(
                        Message(
                            headers: Dictionary(headers, uniquingKeysWith: { first, _ in first }),
                            payload: Array(message.payload)
                        )
                    )
                }
            }
        }
        return (messages, parser.isWithinMessage)
    }

    static func bytes(_ hex: String) throws -> [UInt8] { try #require(Hex.decode(hex)) }

    // Made by hand and read back by botocore.
    static let empty = "000000100000000005c248eb7d98c8ff"
    static let chunk =
        "0000006b0000004b6ace012d0b3a6576656e742d747970650700056368756e6b0d3a636f6e74656e742d747970650700106170706c6963"
        + "6174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b226279746573223a226533303d227d3651dbfe"
    static let everyType =
        "0000005e0000004e7365c254016100016201016302ff01640380000165040000002a0166058000000000000000016706000200ff016807"
        + "0003e282ac0169080000018c00000000016a09000102030405060708090a0b0c0d0e0f88b50b02"

    static let chunkMessage = Message(
        headers: [
            ":event-type": .string("chunk"), ":content-type": .string("application/json"),
            ":message-type": .string("event"),
        ],
        payload: Array(#"{"bytes":"e30="}"#.utf8)
    )
    static let everyTypeMessage = Message(
        headers: [
            "a": .bool(true), "b": .bool(false), "c": .byte(-1), "d": .int16(-32768), "e": .int32(42),
            "f": .int64(.min), "g": .bytes([0, 255]), "h": .string("€"), "i": .timestamp(1_700_807_049_216),
            "j": .uuid(Array(0...15)),
        ]
    )

    @Test("messages are read whole, and the same wherever the stream is cut once or twice, or into single bytes")
    func cut() throws {
        let stream = try Self.bytes(Self.empty + Self.chunk + Self.everyType + Self.empty)
        let expected = [Message(), Self.chunkMessage, Self.everyTypeMessage, Message()]
        for first in 0...stream.count {
            for second in stride(from: first, through: stream.count, by: 3) {
                let found = try Self.messages([stream[..<first], stream[first..<second], stream[second...]])
                guard found.messages != expected || found.isCut else { continue }
                Issue.record("cut at \(first) and \(second)")
            }
        }
        let found = try Self.messages(stream.indices.map { stream[$0...$0] })
        #expect(found.messages == expected && !found.isCut)
    }

    @Test("a stream that ends within a message is known to be cut, and the messages before stand")
    func truncated() throws {
        let stream = try Self.bytes(Self.empty + Self.chunk)
        for end in stream.indices {
            let found = try Self.messages([stream[..<end]])
            #expect(found.isCut == (end != 0 && end != 16))
            #expect(found.messages.count == (end < 16 ? 0 : 1))
        }
    }

    @Test("any single wrong bit is refused")
    func everyBit() throws {
        let message = try Self.bytes(Self.chunk)
        for at in message.indices {
            for bit in 0..<8 {
                var wrong = message
                wrong[at] ^= 1 << UInt8(bit)
                let error = #expect(throws: AWSEventStreamError.self) { try Self.messages([wrong[...]]) }
                #expect(error == (at < 12 ? .preludeChecksumMismatch : .messageChecksumMismatch))
            }
        }
    }

    /// A message whose checksums are right, whatever its lengths and headers say.
    static func sealed(total: UInt32, headerLength: UInt32, _ rest: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        func append(_ number: UInt32) { withUnsafeBytes(of: number.bigEndian) { out.append(contentsOf: $0) } }
        append(total)
        append(headerLength)
        append(CRC32.checksum(out))
        out += rest
        append(CRC32.checksum(out))
        return out
    }

    static let refused: [(name: String, bytes: [UInt8], error: AWSEventStreamError)] = [
        ("shorter than its frame", sealed(total: 15, headerLength: 0, []), .invalidLength),
        ("no length", sealed(total: 0, headerLength: 0, []), .invalidLength),
        ("headers beyond the end", sealed(total: 20, headerLength: 5, [0, 0, 0, 0]), .invalidLength),
        ("huge headers", sealed(total: 1 << 20, headerLength: 0xFFFF_FFFF, []), .invalidLength),
        ("too long", sealed(total: (1 << 20) + 1, headerLength: 0, []), .messageTooLarge),
        ("longest", sealed(total: 0xFFFF_FFFF, headerLength: 0, []), .messageTooLarge),
        (
            "too many header bytes", sealed(total: 1 << 20, headerLength: (128 << 10) + 1, []), .messageTooLarge
        ),
        ("a name beyond the block", sealed(total: 18, headerLength: 2, [5, 97]), .invalidHeaders),
        ("an empty name", sealed(total: 18, headerLength: 2, [0, 0]), .invalidHeaders),
        ("no type", sealed(total: 18, headerLength: 2, [1, 97]), .invalidHeaders),
        ("an unknown type", sealed(total: 19, headerLength: 3, [1, 97, 10]), .invalidHeaders),
        ("a number cut off", sealed(total: 20, headerLength: 4, [1, 97, 3, 0]), .invalidHeaders),
        ("a text cut off", sealed(total: 22, headerLength: 6, [1, 97, 7, 0, 2, 98]), .invalidHeaders),
        ("a length cut off", sealed(total: 20, headerLength: 4, [1, 97, 7, 0]), .invalidHeaders),
        (
            "too many headers",
            sealed(total: 16 + 65 * 3, headerLength: 65 * 3, (0..<65).flatMap { _ in [1, 97, 0] as [UInt8] }),
            .invalidHeaders
        ),
    ]

    @Test("a message that lies about itself is refused, in one piece or byte by byte", arguments: refused)
    func lies(name: String, bytes: [UInt8], error: AWSEventStreamError) {
        #expect(throws: error) { try Self.messages([bytes[...]]) }
        #expect(throws: error) { try Self.messages(bytes.indices.map { bytes[$0...$0] }) }
    }

    @Test("what is written is read back, and is what others write")
    func writes() throws {
        var out: [UInt8] = []
        AWSEventStreamWriter.append(
            headers: [
                (":event-type", .string("chunk")), (":content-type", .string("application/json")),
                (":message-type", .string("event")),
            ],
            payload: Self.chunkMessage.payload,
            to: &out
        )
        #expect(out == (try Self.bytes(Self.chunk)))
        let typed = Self.everyTypeMessage.headers.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }
        AWSEventStreamWriter.append(headers: typed, payload: [], to: &out)
        #expect(out == (try Self.bytes(Self.chunk + Self.everyType)))
    }

    @Test("names and texts that no message can hold are cut, so that what is written can always be read")
    func writesLong() throws {
        var out: [UInt8] = []
        let long = String(repeating: "n", count: 70_000)
        AWSEventStreamWriter.append(
            headers: [(long, .string(long)), ("u", .uuid([1])), ("", .bool(true))].filter { !$0.0.isEmpty },
            payload: [UInt8](repeating: 1, count: 300_000),
            to: &out
        )
        let found = try Self.messages([out[...]])
        #expect(
            found.messages.first?.headers[String(repeating: "n", count: 255)] == .string(String(long.prefix(65535)))
        )
        #expect(found.messages.first?.headers["u"] == .uuid([1] + [UInt8](repeating: 0, count: 15)))
        #expect(found.messages.first?.payload.count == 300_000)
    }

    @Test("headers are found by name without being decoded")
    func lookUp() throws {
        var parser = AWSEventStreamParser()
        var count = 0
        try parser.feed(try Self.bytes(Self.chunk)) { message in
            count += 1
            #expect(message.header(":message-type", is: "event") && !message.header(":message-type", is: "even"))
            #expect(message.string(":event-type") == "chunk" && message.string("nothing") == nil)
        }
        try parser.feed(try Self.bytes(Self.everyType)) { message in
            count += 1
            #expect(message.string("a") == nil && !message.header("a", is: ""))
        }
        #expect(count == 2)
    }

    @Test("a long message in many chunks takes time in proportion, and its buffer is given back")
    func long() throws {
        var out: [UInt8] = []
        AWSEventStreamWriter.append(headers: [], payload: [UInt8](repeating: 7, count: 4_000_000), to: &out)
        var parser = AWSEventStreamParser()
        var sizes: [Int] = []
        for start in stride(from: 0, to: out.count, by: 100) {
            try parser.feed(Array(out[start..<min(start + 100, out.count)])) { sizes.append($0.payload.count) }
        }
        #expect(sizes == [4_000_000] && !parser.isWithinMessage)
    }

    @Test("mutated streams never crash, and what gets through has right checksums", arguments: 0..<4)
    func fuzz(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let stream = try Self.bytes(Self.chunk + Self.everyType + Self.empty)
        var accepted = 0
        for _ in 0..<4000 {
            var bytes = random.mutated(stream, alphabet: [0, 1, 7, 9, 0x10, 0x4B, 0xFF])
            // Half of them get right checksums again, or little would be tried beyond those.
            if random.below(2) == 0, bytes.count > 16 {
                bytes = Self.sealed(
                    total: UInt32(bytes.count),
                    headerLength: UInt32(random.below(bytes.count - 15)),
                    Array(bytes[12..<(bytes.count - 4)])
                )
            }
            let cut = random.below(bytes.count + 1)
            let whole = try? Self.messages([bytes[...]], maximum: 4096)
            let parts = try? Self.messages([bytes[..<cut], bytes[cut...]], maximum: 4096)
            #expect(whole?.messages == parts?.messages && whole?.isCut == parts?.isCut)
            accepted += whole?.messages.count ?? 0
        }
        #expect(accepted > 0)
    }
}
