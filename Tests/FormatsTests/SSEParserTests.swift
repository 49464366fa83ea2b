import Formats
import TestSupport
import Testing

@Suite("Server-Sent Events, scanned")
struct SSEParserTests {
    struct Event: Equatable, Sendable {
        var raw: String
        var name = ""
        var data: String?
        var id = ""
        var isComplete = true
    }

    /// What a parser says of a stream that comes in these chunks, and whether it ended within an event.
    static func events(_ chunks: [ArraySlice<UInt8>], maximum: Int = 1 << 20) throws -> (events: [Event], isCut: Bool) {
        var parser = SSEParser(maximumEventBytes: maximum)
        var events: [Event] = []
        func note(_ event: SSEEvent) {
            events.append(
                Event(
                    raw: String(decoding: event.raw, as: UTF8.self),
                    name: String(decoding: event.name, as: UTF8.self),
                    data: event.hasData ? String(decoding: event.data, as: UTF8.self) : nil,
                    id: String(decoding: event.id, as: UTF8.self),
                    isComplete: event.isComplete
                )
            )
        }
        for chunk in chunks { try chunk.withUnsafeBytes { try parser.feed($0, note) } }
        let isCut = try parser.finish(note)
        #expect(parser.pendingBytes.isEmpty)
        return (events, isCut)
    }

    static func events(_ text: String) throws -> (events: [Event], isCut: Bool) { try events([Array(text.utf8)[...]]) }

    static let streams: [(text: String, events: [Event], isCut: Bool)] = [
        ("", [], false),
        ("data: a\n\n", [Event(raw: "data: a\n\n", data: "a")], false),
        ("data:a\r\n\r\n", [Event(raw: "data:a\r\n\r\n", data: "a")], false),
        ("data:a\r\rdata:b\r\r", [Event(raw: "data:a\r\r", data: "a"), Event(raw: "data:b\r\r", data: "b")], false),
        (
            "event: e\ndata: a\nid: 1\n\n", [Event(raw: "event: e\ndata: a\nid: 1\n\n", name: "e", data: "a", id: "1")],
            false
        ),
        ("data: a\ndata:b\n\n", [Event(raw: "data: a\ndata:b\n\n", data: "a\nb")], false),
        ("data:  a \n\n", [Event(raw: "data:  a \n\n", data: " a ")], false),
        ("data\n\n", [Event(raw: "data\n\n", data: "")], false),
        ("data:\n\n", [Event(raw: "data:\n\n", data: "")], false),
        ("data\ndata\n\n", [Event(raw: "data\ndata\n\n", data: "\n")], false),
        ("data:\ndata: x\ndata\n\n", [Event(raw: "data:\ndata: x\ndata\n\n", data: "\nx\n")], false),
        (": ping\n\n", [Event(raw: ": ping\n\n")], false),
        ("\n", [Event(raw: "\n")], false),
        (
            "\n\n\r\n\r\r",
            [Event(raw: "\n"), Event(raw: "\n"), Event(raw: "\r\n"), Event(raw: "\r"), Event(raw: "\r")], false
        ),
        ("event: ping\n\n", [Event(raw: "event: ping\n\n", name: "ping")], false),
        ("event:a\nevent: b\ndata:1\n\n", [Event(raw: "event:a\nevent: b\ndata:1\n\n", name: "b", data: "1")], false),
        (
            "datax: 1\nDATA: 2\n data: 3\nretry: 5\n:data: 4\n\n",
            [Event(raw: "datax: 1\nDATA: 2\n data: 3\nretry: 5\n:data: 4\n\n")], false
        ),
        ("id: a\0b\ndata:1\n\n", [Event(raw: "id: a\0b\ndata:1\n\n", data: "1")], false),
        ("id\ndata:1\n\n", [Event(raw: "id\ndata:1\n\n", data: "1")], false),
        (
            "\u{FEFF}data: a\n\ndata: b\n\n",
            [Event(raw: "\u{FEFF}data: a\n\n", data: "a"), Event(raw: "data: b\n\n", data: "b")], false
        ),
        (
            "data: a\n\n\u{FEFF}data: b\n\n",
            [Event(raw: "data: a\n\n", data: "a"), Event(raw: "\u{FEFF}data: b\n\n")], false
        ),
        ("data: a\r\n\n", [Event(raw: "data: a\r\n\n", data: "a")], false),
        ("data: a\n\r\n", [Event(raw: "data: a\n\r\n", data: "a")], false),
        (
            "data: a\r\n\rdata: b\n\n", [Event(raw: "data: a\r\n\r", data: "a"), Event(raw: "data: b\n\n", data: "b")],
            false
        ),
        (
            "data: a\n\rdata: b\n\n", [Event(raw: "data: a\n\r", data: "a"), Event(raw: "data: b\n\n", data: "b")],
            false
        ),
        // After a line that ended in CR alone an event does not wait for a LF; one that comes is a blank line.
        (
            "data: a\r\r\ndata: b\n\n",
            [Event(raw: "data: a\r\r", data: "a"), Event(raw: "\n"), Event(raw: "data: b\n\n", data: "b")], false
        ),
        ("data: a", [Event(raw: "data: a", data: "a", isComplete: false)], true),
        ("data: a\n", [Event(raw: "data: a\n", data: "a", isComplete: false)], true),
        ("data: a\r\n\r", [Event(raw: "data: a\r\n\r", data: "a")], false),
        ("data: a\r", [Event(raw: "data: a\r", data: "a", isComplete: false)], true),
        ("data: a\n\nda", [Event(raw: "data: a\n\n", data: "a"), Event(raw: "da", isComplete: false)], true),
        ("data: é😀\n\n", [Event(raw: "data: é😀\n\n", data: "é😀")], false),
        (
            "event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: ping\ndata: {}\n\ndata: [DONE]\n\n",
            [
                Event(
                    raw: "event: message_start\ndata: {\"type\":\"message_start\"}\n\n",
                    name: "message_start",
                    data: "{\"type\":\"message_start\"}"
                ),
                Event(raw: "event: ping\ndata: {}\n\n", name: "ping", data: "{}"),
                Event(raw: "data: [DONE]\n\n", data: "[DONE]"),
            ], false
        ),
    ]

    @Test("a stream gives its events", arguments: streams)
    func whole(text: String, events: [Event], isCut: Bool) throws {
        let found = try Self.events(text)
        #expect(found.events == events)
        #expect(found.isCut == isCut)
    }

    @Test("a stream gives the same events wherever it is cut once or twice, or into single bytes", arguments: streams)
    func cut(text: String, events: [Event], isCut: Bool) throws {
        let bytes = Array(text.utf8)
        for first in 0...bytes.count {
            for second in first...bytes.count {
                let found = try Self.events([bytes[..<first], bytes[first..<second], bytes[second...]])
                guard found.events != events || found.isCut != isCut else { continue }
                Issue.record("cut at \(first) and \(second): \(found)")
            }
        }
        let found = try Self.events(bytes.indices.map { bytes[$0...$0] })
        #expect(found.events == events && found.isCut == isCut, "cut into bytes")
    }

    @Test(
        "events give back the stream byte for byte, however it is cut, and mean what the standard's algorithm says",
        arguments: 0..<4
    )
    func generated(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let parts = [
            "data", "data: x", "event: e", ":", " ", "id: 7", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "\r\r",
            "\u{FEFF}", "\0", "é", "data: {\"a\":1}",
        ]
        for _ in 0..<3000 {
            let text = (0..<random.below(14)).map { _ in parts[random.below(parts.count)] }.joined()
            let bytes = Array(text.utf8)
            let whole = try Self.events([bytes[...]])
            #expect(Array(whole.events.map(\.raw).joined().utf8) == bytes)
            let dispatched = whole.events.filter { $0.isComplete && $0.data != nil }
            #expect(
                dispatched.map { [$0.name, $0.data ?? ""] } == reference(text).map { [$0.name, $0.data] },
                "\(text.debugDescription)"
            )

            var cuts = (0..<random.below(5)).map { _ in random.below(bytes.count + 1) }.sorted()
            cuts = [0] + cuts + [bytes.count]
            let chunks = zip(cuts, cuts.dropFirst()).map { bytes[$0..<$1] }
            let again = try Self.events(chunks)
            #expect(again.events == whole.events && again.isCut == whole.isCut, "\(text.debugDescription) at \(cuts)")
        }
    }

    /// WHATWG HTML 9.2.6, word by word on the whole text.
    private func reference(_ text: String) -> [(name: String, data: String)] {
        var scalars = Array(text.unicodeScalars)
        if scalars.first == "\u{FEFF}" { scalars.removeFirst() }
        var lines: [String] = []
        var line = ""
        var at = 0
        while at < scalars.count {
            if scalars[at] == "\r" || scalars[at] == "\n" {
                if scalars[at] == "\r", at + 1 < scalars.count, scalars[at + 1] == "\n" { at += 1 }
                lines.append(line)
                line = ""
            } else {
                line.unicodeScalars.append(scalars[at])
            }
            at += 1
        }
        var events: [(name: String, data: String)] = []
        var (name, data) = ("", "")
        for line in lines {
            if line.unicodeScalars.isEmpty {
                if !data.unicodeScalars.isEmpty {
                    data.unicodeScalars.removeLast()
                    events.append((name, data))
                }
                (name, data) = ("", "")
                continue
            }
            let parts = line.unicodeScalars.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            var value = parts.count > 1 ? String(parts[1]) : ""
            if value.unicodeScalars.first == " " { value.unicodeScalars.removeFirst() }
            switch String(parts[0]) {
            case "event": name = value
            case "data": data += value + "\n"
            default: break
            }
        }
        return events
    }

    @Test("an event over the limit is refused, one at the limit is not, in one chunk or in many")
    func limit() throws {
        let event = Array("data: 0123456789\n\n".utf8)
        for chunks in [[event[...]], event.indices.map { event[$0...$0] }, [event[..<3], event[3...]]] {
            #expect(try Self.events(chunks + chunks, maximum: event.count).events.count == 2)
            #expect(throws: SSEError.eventTooLarge) { try Self.events(chunks, maximum: event.count - 1) }
        }
        #expect(throws: SSEError.eventTooLarge) {
            try Self.events([ArraySlice(repeating: 0x61, count: 100)], maximum: 99)
        }
        #expect(throws: SSEError.eventTooLarge) {
            try Self.events([[UInt8]](repeating: Array("data: x\n".utf8), count: 20).map { $0[...] }, maximum: 99)
        }
    }

    @Test("an event within one chunk is lent where it stands")
    func noCopy() throws {
        let bytes = Array("data: first\n\nevent: e\ndata: second\n\ndata: th".utf8)
        var parser = SSEParser()
        try bytes.withUnsafeBytes { chunk in
            let base = try #require(chunk.baseAddress)
            var offsets: [Int] = []
            try parser.feed(chunk) { event in
                offsets.append(try #require(event.raw.baseAddress) - base)
                offsets.append(try #require(event.data.baseAddress) - base)
            }
            #expect(offsets == [0, 6, 13, 28])
        }
        #expect(parser.pendingBytes == Array("data: th".utf8))
    }

    @Test("what the receiver throws reaches the feeder")
    func receiverThrows() {
        struct Refused: Error {}
        var parser = SSEParser()
        #expect(throws: Refused.self) { try parser.feed(Array("data: a\n\n".utf8)) { _ in throw Refused() } }
    }

    @Test("an event of many chunks takes time in proportion to its length")
    func manyChunks() throws {
        var parser = SSEParser(maximumEventBytes: 4 << 20)
        var sizes: [Int] = []
        let chunk = [UInt8](repeating: 0x78, count: 100)
        try parser.feed(Array("data: ".utf8)) { _ in }
        for _ in 0..<40_000 { try parser.feed(chunk) { _ in } }
        try parser.feed(Array("\n\n".utf8)) { sizes.append($0.data.count) }
        #expect(sizes == [4_000_000])
        #expect(parser.pendingBytes.isEmpty)
    }

    @Test("mutated streams never crash and always give back their bytes")
    func fuzz() throws {
        var random = SeededGenerator(seed: 7)
        let seed = Array(
            "event: content_block_delta\r\ndata: {\"a\":1}\r\n\r\n: ping\n\nid: 4\rdata: x\rdata: y\r\rdata: [DONE]\n\n"
                .utf8
        )
        for _ in 0..<6000 {
            let bytes = random.mutated(seed, alphabet: Array("\r\n\r\n: daetvin".utf8) + [0, 0xEF, 0xBB, 0xBF, 0xFF])
            var parser = SSEParser(maximumEventBytes: 1000)
            var raw: [UInt8] = []
            let cut = random.below(bytes.count + 1)
            try parser.feed(Array(bytes[..<cut])) { raw += $0.raw }
            try parser.feed(Array(bytes[cut...])) { raw += $0.raw }
            _ = try parser.finish { raw += $0.raw }
            #expect(raw == bytes)
        }
    }
}
