import Bytes
import Testing

@Suite("Words of eight bytes")
struct ASCIIWordTests {
    private static let fillers: [UInt8] = [
        0, UInt8(ascii: "A"), UInt8(ascii: "z"), UInt8(ascii: "-"), 0x7f, 0x80, 0xff,
    ]

    private func word(_ byte: UInt8, at place: Int, among filler: UInt8) -> [UInt8] {
        var bytes = [UInt8](repeating: filler, count: 8)
        bytes[place] = byte
        return bytes
    }

    private func lowered(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }

    @Test("each byte is lowered, and told from letters and dashes, whatever stands beside it")
    func bytes() {
        for byte in UInt8.min...UInt8.max {
            let isPlain = (0x61...0x7A).contains(lowered(byte)) || byte == UInt8(ascii: "-")
            for place in 0..<8 {
                for filler in Self.fillers {
                    let bytes = word(byte, at: place, among: filler)
                    let word = bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
                    let lower = withUnsafeBytes(of: ASCIIWord.lowered(word)) { Array($0) }
                    let marks = withUnsafeBytes(of: ASCIIWord.neitherLettersNorDashes(word)) { Array($0) }
                    if lower != bytes.map(lowered) { Issue.record("\(byte) at \(place) among \(filler)") }
                    if marks[place] != (isPlain ? 0 : 0x80) { Issue.record("\(byte) at \(place) among \(filler)") }
                }
            }
        }
    }

    @Test("texts of every length are lowered to their end and no further")
    func lengths() {
        for length in 0...40 {
            let text = (0..<length).map { UInt8(truncatingIfNeeded: 0x3C + $0) }
            var bytes: [UInt8] = [1]
            bytes.append(atMost: length) { out in text.withUnsafeBytes { out.write(lowered: $0) } }
            #expect(bytes == [1] + text.map(lowered))
        }
    }
}
