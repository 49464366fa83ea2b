import Formats
import Testing

@Suite("Server-Sent Events, written")
struct SSEWriterTests {
    @Test(
        "an event has its name, a line for each line of its data, and a blank line",
        arguments: [
            ("{}", "event: ping\ndata: {}\n\n", "{}"), ("", "event: ping\ndata: \n\n", ""),
            ("a\nb", "event: ping\ndata: a\ndata: b\n\n", "a\nb"),
            ("a\r\nb\rc\n", "event: ping\ndata: a\ndata: b\ndata: c\ndata: \n\n", "a\nb\nc\n"),
            ("\r\n", "event: ping\ndata: \ndata: \n\n", "\n"), (" x", "event: ping\ndata:  x\n\n", " x"),
        ]
    )
    func events(data: String, text: String, readBack: String) throws {
        var out: [UInt8] = []
        SSEWriter.append(event: "ping", data: data, to: &out)
        #expect(String(decoding: out, as: UTF8.self) == text)
        #expect(try SSEParserTests.events([out[...]]).events.map(\.data) == [readBack])
    }

    @Test("an event without a name has data alone")
    func plain() {
        var out: [UInt8] = []
        SSEWriter.append(data: Array("[DONE]".utf8), to: &out)
        #expect(String(decoding: out, as: UTF8.self) == "data: [DONE]\n\n")
    }
}
