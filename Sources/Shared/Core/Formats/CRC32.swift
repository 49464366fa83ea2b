import CInflate

/// CRC-32 as of gzip and Ethernet (polynomial 0x04C11DB7, reflected).
package enum CRC32 {
    /// - Parameter start: the checksum of what came before, to continue it.
    package static func checksum(_ bytes: UnsafeRawBufferPointer, startingFrom start: UInt32 = 0) -> UInt32 {
        UInt32(truncatingIfNeeded: crc32_z(UInt(start), bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count))
    }

    package static func checksum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { checksum($0) } }
}
