import Domain
import Snapshots
import Testing

@Suite("Usage records as text")
struct UsageRecordTests {
    private let decoder = UsageRecordDecoder()

    @Test("a record survives the way through its text", arguments: 0..<500)
    func roundTrip(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let record = random.record()
        #expect(try decoder.decode(record.encoded) == record)
    }

    @Test("format 1 keeps its text")
    func golden() throws {
        #expect(String(decoding: Golden.record.encoded, as: UTF8.self) == Golden.recordText)
        #expect(try decoder.decode(Array(Golden.recordText.utf8)) == Golden.record)
    }

    @Test("every number at its longest fits")
    func longestNumbers() throws {
        var record = Golden.record
        record.createdAt = Timestamp(microseconds: .min)
        record.user = UserID(.min)
        record.key = KeyID(.min)
        record.group = GroupID(.min)
        record.account = AccountID(.min)
        record.cost = NanoUSD(.min)
        record.accountCost = NanoUSD(.min)
        record.multiplier = Multiplier(.min)
        record.accountMultiplier = Multiplier(.min)
        record.priceVersion = .min
        record.status = .min
        record.usage = TokenUsage(
            input: .max,
            output: .max,
            cacheWrite5m: .max,
            cacheWrite1h: .max,
            cacheRead: .max,
            webSearches: .max,
            inputMedia: .init(image: .max, audio: .max),
            outputMedia: .init(image: .max, audio: .max)
        )
        record.durationMilliseconds = .max
        record.firstTokenMilliseconds = .max
        record.dialect = .openaiResponses
        record.end = .upstreamCut
        #expect(throws: SnapshotError.invalid("created_at")) { try decoder.decode(record.encoded) }
    }

    @Test("what callers and upstreams made too long or too high is bounded, not lost")
    func bounded() throws {
        var record = Golden.record
        // A cut at 1,024 bytes would fall into the middle of a character.
        record.userAgent = "x" + String(repeating: "é", count: 2000)
        record.model = String(repeating: "\u{1}", count: 5000)
        record.upstreamModel = "a\u{0}b"
        record.usage.input = 5_000_000_000_000
        record.usage.output = -3
        record.durationMilliseconds = -1
        let read = try decoder.decode(record.encoded)
        #expect(read.userAgent == "x" + String(repeating: "é", count: 511))
        #expect(read.model == String(repeating: "\u{1}", count: 1024))
        #expect(read.upstreamModel == "ab")
        #expect(read.usage.input == UsageRecord.countLimit)
        #expect(read.usage.output == 0)
        #expect(read.durationMilliseconds == 0)
    }

    @Test(
        "a record that bills cannot be made from is refused, with the field's name",
        arguments: [
            (#""id":"req_1""#, #""id":"""#, SnapshotError.invalid("id")),
            (#""id":"req_1""#, #""id":"a b""#, .invalid("id")),
            (#""id":"req_1""#, #""id":"\#(String(repeating: "a", count: 129))""#, .invalid("id")),
            (#""id":"req_1","#, "", .missing("id")),
            (#""phase":"final""#, #""phase":"maybe""#, .invalid("phase")),
            (#""created_at":1793867400000000"#, #""created_at":-1"#, .invalid("created_at")),
            (#""created_at":1793867400000000"#, #""created_at":"2026""#, .missing("created_at")),
            (#""user_id":3"#, #""user_id":-3"#, .invalid("user_id")),
            (#""user_id":3"#, #""user_id":3.0"#, .missing("user_id")),
            (#""input":1200"#, #""input":-1"#, .invalid("input")),
            (#""input":1200"#, #""input":1000000000001"#, .invalid("input")),
            (#""input":1200,"#, "", .missing("input")),
            (#""cost":4500000"#, #""cost":9000000000000001"#, .invalid("cost")),
            (#""cost":4500000"#, #""cost":-1"#, .invalid("cost")),
            (#""cost":4500000"#, #""cost":null"#, .missing("cost")),
            (#""multiplier":15000"#, #""multiplier":10000001"#, .invalid("multiplier")),
            (#""status":200"#, #""status":1000"#, .invalid("status")),
            (#""dialect":"anthropic""#, #""dialect":"morse""#, .invalid("dialect")),
            (#""user_agent":"curl/8""#, #""user_agent":"\u0000""#, .invalid("user_agent")),
            (
                #""user_agent":"curl/8""#, #""user_agent":"\#(String(repeating: "a", count: 1025))""#,
                .invalid("user_agent")
            ),
            (#""stream":true"#, #""stream":1"#, .missing("stream")),
            (#""end":"complete"}"#, #""end":"complete""#, .notJSON),
            (Golden.recordText, "[]", .notJSON),
            (Golden.recordText, "", .notJSON),
        ]
    )
    func refused(part: String, replacement: String, error: SnapshotError) {
        let text = Golden.recordText.replacing(part, with: replacement)
        #expect(text != Golden.recordText)
        #expect(throws: error) { try decoder.decode(Array(text.utf8)) }
    }

    @Test("a record cut anywhere is refused")
    func cut() {
        let text = Array(Golden.recordText.utf8)
        for count in 0..<text.count {
            #expect(throws: SnapshotError.self) { try decoder.decode(Array(text.prefix(count))) }
        }
    }

    @Test("tokens that are no text stand in the record where there are any, and may be missing in older ones")
    func media() throws {
        var record = Golden.record
        record.usage.inputMedia = .init(image: 700, audio: 30)
        record.usage.outputMedia.audio = 4
        let text = String(decoding: record.encoded, as: UTF8.self)
        let members = #""web_searches":1,"image_input":700,"audio_input":30,"audio_output":4,"cost""#
        #expect(text == Golden.recordText.replacing(#""web_searches":1,"cost""#, with: members))
        #expect(try decoder.decode(record.encoded) == record)
        let broken = text.replacing(#""audio_input":30"#, with: #""audio_input":-1"#)
        #expect(throws: SnapshotError.invalid("audio_input")) { try decoder.decode(Array(broken.utf8)) }
    }

    @Test("fields of a later build are passed over")
    func unknownFields() throws {
        let text = Golden.recordText.replacing(#"{"id""#, with: #"{"later":{"a":[1,null]},"id""#)
        #expect(try decoder.decode(Array(text.utf8)) == Golden.record)
    }
}
