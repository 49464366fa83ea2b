import Formats

/// How records stand in a journal: length and CRC-32 (both 4 bytes, little-endian), then the record's bytes. Pure.
package enum JournalFormat {
    package static let headerBytes = 8
    /// More than any record; a length beyond it is none.
    package static let longestRecord = 1 << 20

    package static func append(_ record: [UInt8], to bytes: inout [UInt8]) {
        bytes.reserveCapacity(bytes.count + headerBytes + record.count)
        append(UInt32(truncatingIfNeeded: record.count), to: &bytes)
        append(CRC32.checksum(record), to: &bytes)
        bytes.append(contentsOf: record)
    }

    private static func append(_ number: UInt32, to bytes: inout [UInt8]) {
        for shift in [0, 8, 16, 24] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
    }

    /// The whole records at the beginning, and how many bytes they take. What follows is the torn end of a write that a
    /// crash cut short, or damage.
    package static func read(_ bytes: [UInt8]) -> (records: [[UInt8]], validBytes: Int) {
        var records: [[UInt8]] = []
        var position = 0
        func number(at offset: Int) -> UInt32 {
            bytes[offset..<(offset + 4)].reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }
        while bytes.count - position >= headerBytes {
            let length = Int(number(at: position))
            let start = position + headerBytes
            guard length > 0, length <= longestRecord, length <= bytes.count - start else { break }
            let record = Array(bytes[start..<(start + length)])
            guard CRC32.checksum(record) == number(at: position + 4) else { break }
            records.append(record)
            position = start + length
        }
        return (records, position)
    }
}
