import Bytes
import Testing

@Suite("Byte cursor")
struct ByteCursorTests {
    private func written(_ body: (inout ByteCursor) -> Void) -> String {
        var bytes: [UInt8] = Array("<".utf8)
        bytes.append(atMost: 400, body)
        bytes.append(UInt8(ascii: ">"))
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("numbers of every length are written as Swift writes them")
    func numbers() {
        var numbers: [Int64] = [0, .min, .max, -1]
        var power: Int64 = 1
        for _ in 0..<19 {
            numbers += [power, power - 1, -power]
            power = power.multipliedReportingOverflow(by: 10).partialValue
        }
        for number in numbers {
            #expect(written { $0.write(decimal: number) } == "<\(number)>")
        }
    }

    @Test("sixteen digits say what a word is, the highest first")
    func hexadecimal() {
        #expect(written { $0.write(hexadecimal: 0x0123_4567_89ab_cdef) } == "<0123456789abcdef>")
        for shift in 0..<60 {
            let number = UInt64(0xF09) << UInt64(shift)
            let digits = String(number, radix: 16)
            let zeros = String(repeating: "0", count: 16 - digits.count)
            #expect(written { $0.write(hexadecimal: number) } == "<\(zeros)\(digits)>")
        }
    }

    @Test("texts go in as they are, short and long, literal or not")
    func texts() {
        let long = String(repeating: "é", count: 60)
        #expect(written { $0.write("") } == "<>")
        #expect(written { $0.write(long) } == "<\(long)>")
        #expect(written { $0.write(String("short")) } == "<short>")
        #expect(written { cursor in [1, 2].withUnsafeBytes { cursor.write($0) } }.utf8.count == 18)
    }

    @Test(
        "a JSON string is escaped where it must be, and only there",
        arguments: [
            ("", ""), ("plain é 你", "plain é 你"), ("\"", "\\\""), ("a\\b\"", "a\\\\b\\\""),
            ("\u{1}x\u{1f}", "\\u0001x\\u001f"), ("line\nend", "line\\nend"), ("\u{7f}", "\u{7f}"),
        ]
    )
    func escapes(text: String, expected: String) {
        let bytes = Array(text.utf8)
        #expect(written { cursor in bytes.withUnsafeBytes { cursor.write(escaping: $0) } } == "<\(expected)>")
    }

    @Test(
        "what needs an escape is found wherever it stands in a long text",
        arguments: ["\"", "\\", "\u{1f}", "\u{0}"]
    )
    func escapesAnywhere(text: String) {
        for filler in ["a", "é", "\u{7f}", "!", "]"] {
            for before in 0..<20 {
                let left = String(repeating: filler, count: before)
                let bytes = Array((left + text + filler).utf8)
                let end = written { cursor in bytes.withUnsafeBytes { cursor.write(escaping: $0) } }
                let escaped = written { cursor in Array(text.utf8).withUnsafeBytes { cursor.write(escaping: $0) } }
                #expect(end == "<" + left + escaped.dropFirst().dropLast() + filler + ">")
            }
        }
    }

    @Test("null characters are left out where nobody can take them, and only they")
    func omitsNull() {
        for before in 0..<20 {
            let left = String(repeating: "a", count: before)
            let bytes = Array((left + "\0\u{1}\0b\0").utf8)
            let text = written { cursor in
                bytes.withUnsafeBytes { cursor.write(escaping: $0, omitsNull: true) }
            }
            #expect(text == "<\(left)\\u0001b>")
        }
    }

    @Test("only ASCII letters are lowered, wherever they stand")
    func lowering() {
        let all = (0...255).map { UInt8($0) }
        for start in 0..<16 {
            let bytes = Array(all[start...])
            var lowered: [UInt8] = []
            lowered.append(atMost: 400) { cursor in bytes.withUnsafeBytes { cursor.write(lowered: $0) } }
            #expect(lowered == bytes.map { $0 >= 0x41 && $0 <= 0x5A ? $0 + 32 : $0 })
        }
        #expect(
            written { cursor in Array("X-Api-KEY".utf8).withUnsafeBytes { cursor.write(lowered: $0) } } == "<x-api-key>"
        )
    }

    @Test("appending grows the array like appending bytes one by one")
    func growth() {
        var bytes: [UInt8] = []
        for number in 0..<2000 {
            bytes.append(atMost: 20) { $0.write(decimal: Int64(number)) }
        }
        #expect(bytes == (0..<2000).flatMap { Array(String($0).utf8) })
    }
}
