/// Writes messages of AWS' event streams: what a server of the format does.
package enum AWSEventStreamWriter {
    /// Appends one message.
    ///
    /// - Parameter headers: names of 1–255 bytes; texts and bytes below 64 KiB. What is longer is cut.
    package static func append(
        headers: [(name: String, value: AWSEventStream.Value)],
        payload: [UInt8],
        to out: inout [UInt8]
    ) {
        let start = out.count
        out.append(contentsOf: repeatElement(0, count: 12))
        for (name, value) in headers { append(name, value, to: &out) }
        let headerBytes = out.count - start - 12
        out.append(contentsOf: payload)
        set(UInt32(truncatingIfNeeded: out.count - start + 4), at: start, in: &out)
        set(UInt32(truncatingIfNeeded: headerBytes), at: start + 4, in: &out)
        set(checksum(out, from: start, count: 8), at: start + 8, in: &out)
        appendBigEndian(checksum(out, from: start, count: out.count - start), to: &out)
    }

    private static func append(_ name: String, _ value: AWSEventStream.Value, to out: inout [UInt8]) {
        let name = name.utf8.prefix(255)
        out.append(UInt8(truncatingIfNeeded: name.count))
        out.append(contentsOf: name)
        switch value {
        case .bool(let flag): out.append(flag ? 0 : 1)
        case .byte(let number):
            out.append(2)
            appendBigEndian(number, to: &out)
        case .int16(let number):
            out.append(3)
            appendBigEndian(number, to: &out)
        case .int32(let number):
            out.append(4)
            appendBigEndian(number, to: &out)
        case .int64(let number):
            out.append(5)
            appendBigEndian(number, to: &out)
        case .bytes(let bytes):
            out.append(6)
            appendCounted(bytes[...], to: &out)
        case .string(let text):
            out.append(7)
            appendCounted(Array(text.utf8)[...], to: &out)
        case .timestamp(let milliseconds):
            out.append(8)
            appendBigEndian(milliseconds, to: &out)
        case .uuid(let bytes):
            out.append(9)
            out.append(contentsOf: (bytes + [UInt8](repeating: 0, count: 16)).prefix(16))
        }
    }

    private static func appendCounted(_ bytes: ArraySlice<UInt8>, to out: inout [UInt8]) {
        let bytes = bytes.prefix(Int(UInt16.max))
        appendBigEndian(UInt16(truncatingIfNeeded: bytes.count), to: &out)
        out.append(contentsOf: bytes)
    }

    private static func checksum(_ out: [UInt8], from start: Int, count: Int) -> UInt32 {
        out.withUnsafeBytes { CRC32.checksum(UnsafeRawBufferPointer(rebasing: $0[start..<(start + count)])) }
    }

    private static func appendBigEndian(_ number: some FixedWidthInteger, to out: inout [UInt8]) {
        withUnsafeBytes(of: number.bigEndian) { out.append(contentsOf: $0) }
    }

    private static func set(_ number: UInt32, at offset: Int, in out: inout [UInt8]) {
        withUnsafeBytes(of: number.bigEndian) { bytes in
            for (index, byte) in bytes.enumerated() { out[offset + index] = byte }
        }
    }
}
