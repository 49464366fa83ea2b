import Bytes
import Formats
import Testing

@Suite("Frames of pieces")
struct PieceFrameTests {
    private static func framed(_ text: String, _ frame: borrowing PieceFrame, number: Int64? = nil) -> String {
        var out = Array("before ".utf8)
        var text = text
        text.withUTF8 { utf8 in
            let bytes = UnsafeRawBufferPointer(utf8)
            if let number {
                frame.append(bytes, to: &out, atMost: 20) { $0.write(decimal: number) }
            } else {
                frame.append(bytes, to: &out)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    @Test(
        "a piece stands escaped between head and tail, whatever its length",
        arguments: [0, 1, 7, 8, 1023, 1024, 1025, 5000]
    )
    func pieces(_ count: Int) {
        let frame = PieceFrame(Array("<".utf8), Array(">".utf8))
        let plain = String(repeating: "ä", count: count / 2) + String(repeating: "x", count: count % 2)
        #expect(Self.framed(plain, frame) == "before <\(plain)>")
        // All of it takes six times its bytes.
        let control = String(repeating: "\u{1}", count: count)
        #expect(Self.framed(control, frame) == "before <\(String(repeating: "\\u0001", count: count))>")
        #expect(Self.framed(control + "\"\\\n", frame, number: .min).hasSuffix("\\\"\\\\\\n>-9223372036854775808"))
    }

    @Test("without head and tail there is the piece alone")
    func empty() {
        #expect(Self.framed("a", PieceFrame()) == "before a")
        #expect(Self.framed("", PieceFrame()) == "before ")
    }
}
