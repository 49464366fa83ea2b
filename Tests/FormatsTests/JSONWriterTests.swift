import Formats
import Testing

@Suite("Writing JSON")
struct JSONWriterTests {
    private func written(_ body: (inout JSONWriter) -> Void) -> String {
        var writer = JSONWriter()
        body(&writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    @Test("commas stand between members and elements, and nowhere else")
    func structure() throws {
        let text = written {
            $0.object {
                $0.member("type", "error")
                $0.key("empty")
                $0.object { _ in }
                $0.key("list")
                $0.array {
                    $0.int(1)
                    $0.array { _ in }
                    $0.object { $0.member("a", true) }
                    $0.null()
                    $0.bool(false)
                    $0.raw("0.000000001")
                    $0.raw(Array("{}".utf8))
                }
                $0.member("n", Int64.min)
                $0.member("u", UInt64.max)
                $0.member("d", 0.1)
                $0.null("z")
                $0.member("s", nil as String?)
                $0.member("i", nil as Int?)
                $0.member("j", 3 as Int?)
                $0.key("k" + "é")
                $0.string(utf8: UnsafeRawBufferPointer(start: nil, count: 0))
            }
        }
        #expect(
            text == """
                {"type":"error","empty":{},"list":[1,[],{"a":true},null,false,0.000000001,{}],"n":-9223372036854775808,\
                "u":18446744073709551615,"d":0.1,"z":null,"s":null,"i":null,"j":3,"ké":""}
                """
        )
        #expect(try JSON(text: text)["ké"] == "")
    }

    @Test("every character comes back as it was")
    func escapes() throws {
        let all =
            (0..<0x180).compactMap { Unicode.Scalar($0 as UInt32) }.map { String($0) }.joined()
            + "\u{2028}😀\u{10FFFF}\\\""
        let text = written { $0.string(all) }
        #expect(try JSON(text: text) == .string(all))
        #expect(text.utf8.allSatisfy { $0 >= 0x20 })
        #expect(text.hasPrefix(#""\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\t\n\u000b\u000c\r\u000e"#))
    }

    @Test("bytes that are not UTF-8 cannot get into the text")
    func invalidBytes() throws {
        let bytes: [UInt8] = [0x61, 0xFF, 0xC3, 0x62]
        let text = written { writer in bytes.withUnsafeBytes { writer.string(utf8: $0) } }
        #expect(try JSON(text: text) == "a\u{FFFD}\u{FFFD}b")
    }

    @Test("numbers that JSON cannot express are null", arguments: [Double.nan, .infinity, -.infinity])
    func notFinite(value: Double) {
        #expect(written { $0.double(value) } == "null")
    }
}
