import Formats

/// A gzip file (RFC 1952) of stored blocks: valid, and bigger than what it holds.
package enum Gzip {
    package static func store(_ bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]
        var rest = bytes[...]
        repeat {
            let block = rest.prefix(0xffff)
            rest = rest.dropFirst(block.count)
            let length = UInt16(truncatingIfNeeded: block.count)
            out.append(rest.isEmpty ? 1 : 0)
            append(length, to: &out)
            append(~length, to: &out)
            out.append(contentsOf: block)
        } while !rest.isEmpty
        append(CRC32.checksum(bytes), to: &out)
        append(UInt32(truncatingIfNeeded: bytes.count), to: &out)
        return out
    }

    private static func append<Number: FixedWidthInteger>(_ number: Number, to out: inout [UInt8]) {
        withUnsafeBytes(of: number.littleEndian) { out.append(contentsOf: $0) }
    }
}
