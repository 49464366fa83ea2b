import CInflate
import Testing

@testable import SimulatorKit

@Suite("Texts of the simulator")
struct TextTests {
    @Test("a digest does not depend on how its bytes are cut")
    func digest() {
        let bytes = [UInt8]((0..<100).map { UInt8(truncatingIfNeeded: $0 &* 37) })
        let whole = Digest(bytes)
        for cut in bytes.indices {
            var parts = Digest()
            bytes[..<cut].withUnsafeBytes { parts.update($0) }
            bytes[cut...].withUnsafeBytes { parts.update($0) }
            #expect(parts.hex == whole.hex)
        }
        #expect(Digest([UInt8]()).hex != Digest([0] as [UInt8]).hex)
        #expect(Digest([0] as [UInt8]).hex != Digest([0, 0] as [UInt8]).hex)
    }

    @Test("parts of a text are whole characters and add up to it", arguments: ["", "a", "üñ🥊é", "🥊🥊🥊", "plain text"])
    func parts(text: String) {
        for count in 1...20 {
            let parts = Array(UTF8Parts(text, count: count))
            #expect(parts.flatMap { $0 } == Array(text.utf8))
            #expect(parts.allSatisfy { String(validating: $0, as: UTF8.self) != nil })
            #expect(parts.count <= count)
        }
    }

    @Test("a cut text keeps whole characters", arguments: [("üñ🥊", 0...8)])
    func prefixes(text: String, counts: ClosedRange<Int>) {
        #expect(counts.map { text.prefixOfUTF8($0) } == ["", "", "ü", "ü", "üñ", "üñ", "üñ", "üñ", "üñ🥊"])
    }

    @Test("zlib reads what gzip stored", arguments: [0, 1, 65_535, 65_536, 200_000])
    func gzip(count: Int) {
        let bytes = [UInt8]((0..<count).lazy.map { UInt8(truncatingIfNeeded: $0 &* 31) })
        var packed = Gzip.store(bytes)
        var out = [UInt8](repeating: 0, count: count + 1)
        var stream = z_stream()
        var status = inflateInit2_(&stream, 31, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        packed.withUnsafeMutableBufferPointer { packed in
            out.withUnsafeMutableBufferPointer { out in
                stream.next_in = packed.baseAddress
                stream.avail_in = UInt32(packed.count)
                stream.next_out = out.baseAddress
                stream.avail_out = UInt32(out.count)
                status = inflate(&stream, Z_FINISH)
            }
        }
        inflateEnd(&stream)
        #expect(status == Z_STREAM_END)
        #expect(Array(out.prefix(Int(stream.total_out))) == bytes)
    }
}
