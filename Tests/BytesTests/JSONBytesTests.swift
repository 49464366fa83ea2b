import Bytes
import Testing

@Suite("JSON bytes")
struct JSONBytesTests {
    /// Byte by byte.
    private static func plainCount(_ bytes: ArraySlice<UInt8>, onlyASCII: Bool) -> Int {
        let plain = bytes.prefix(8).prefix { byte in
            byte >= 0x20 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\") && !(onlyASCII && byte >= 0x80)
        }
        return plain.count
    }

    @Test("every byte at every place, before others of all kinds", arguments: [1, 2, 3, 4, 5, 6, 7, 8, 9, 16])
    func everyByte(_ count: Int) {
        for filler: UInt8 in [0x20, 0x61, 0x7F, 0x80, 0xFF, 0x00, 0x1F, 0x22, 0x5C] {
            for place in 0..<count {
                for byte in UInt8.min...UInt8.max {
                    // What comes before the byte stands for itself, so that it is reached.
                    var bytes = [UInt8](repeating: filler, count: count)
                    for index in 0..<place where filler != 0x80 && filler != 0xFF { bytes[index] = 0x61 }
                    bytes[place] = byte
                    for onlyASCII in [false, true] {
                        let found = bytes.withUnsafeBytes { memory in
                            memory.baseAddress.map { JSONBytes.plainCount($0, of: count, onlyASCII: onlyASCII) }
                        }
                        guard found != Self.plainCount(bytes[...], onlyASCII: onlyASCII) else { continue }
                        Issue.record("\(bytes), only ASCII: \(onlyASCII)")
                    }
                }
            }
        }
    }
}
