import CInflate

package enum InflateError: Error, Equatable {
    /// More than `limit` bytes came out.
    case tooLarge
    /// Not what the encoding says, cut short, or followed by something else.
    case corrupt
    /// An encoding that is not read.
    case unsupported
    case outOfMemory
}

/// Undoes content codings (RFC 9110, 8.4.1) of request bodies within a bound.
package enum Inflate {
    /// Spare capacity that every result has, so that it can be parsed in place.
    private static let padding = JSONParser.padding
    private static let blockBytes = 64 << 10

    /// Whether `inflate` reads this content coding.
    package static func isSupported(_ encoding: String) -> Bool { Coding(encoding) != nil }

    /// Decompresses a whole body.
    ///
    /// Memory stays within `limit` and a constant, whatever the body claims: a block is decompressed, counted, kept.
    /// - Parameter encoding: `gzip`, `x-gzip`, `deflate`, `br`, `zstd` or `identity`, in any case.
    package static func inflate(
        _ bytes: UnsafeRawBufferPointer,
        encoding: String,
        limit: Int
    ) throws(InflateError) -> [UInt8] {
        guard let coding = Coding(encoding) else { throw .unsupported }
        // Text shrinks to about a quarter; a wrong guess costs one more copy.
        var output = Output(limit: limit, expecting: coding == .identity ? bytes.count : 4 * bytes.count)
        switch coding {
        case .identity: try output.append(bytes)
        case .gzip: try inflate(bytes, windowBits: 15 + 16, allowsMembers: true, into: &output)
        case .deflate:
            // "deflate" is the zlib format, but some clients send it without the zlib header.
            let windowBits: Int32 = hasZlibHeader(bytes) ? 15 : -15
            try inflate(bytes, windowBits: windowBits, allowsMembers: false, into: &output)
        case .brotli: try inflateBrotli(bytes, into: &output)
        case .zstandard: try inflateZstandard(bytes, into: &output)
        }
        return output.bytes
    }

    package static func inflate(_ bytes: [UInt8], encoding: String, limit: Int) throws(InflateError) -> [UInt8] {
        try bytes.withUnsafeBufferPointer { bytes throws(InflateError) in
            try inflate(UnsafeRawBufferPointer(bytes), encoding: encoding, limit: limit)
        }
    }

    private enum Coding {
        case identity, gzip, deflate, brotli, zstandard

        init?(_ name: String) {
            switch name.lowercased() {
            case "gzip", "x-gzip": self = .gzip
            case "deflate": self = .deflate
            case "br": self = .brotli
            case "zstd": self = .zstandard
            case "identity", "": self = .identity
            default: return nil
            }
        }
    }

    /// What came out so far, never more than the limit.
    private struct Output {
        let limit: Int
        private(set) var bytes: [UInt8] = []

        init(limit: Int, expecting byteCount: Int) {
            self.limit = min(max(0, limit), Int.max / 4)
            bytes.reserveCapacity(min(self.limit, byteCount) + Inflate.padding)
        }

        mutating func append(_ block: UnsafeRawBufferPointer) throws(InflateError) {
            guard block.count <= limit - bytes.count else { throw .tooLarge }
            let wanted = bytes.count + block.count + Inflate.padding
            if wanted > bytes.capacity {
                bytes.reserveCapacity(min(max(wanted, 2 * bytes.capacity), limit + Inflate.padding))
            }
            bytes.append(contentsOf: block)
        }
    }

    private static func hasZlibHeader(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count >= 2 && bytes[0] & 0xF == 8 && (Int(bytes[0]) << 8 | Int(bytes[1])) % 31 == 0
    }

    // MARK: zlib

    private static func inflate(
        _ bytes: UnsafeRawBufferPointer,
        windowBits: Int32,
        allowsMembers: Bool,
        into output: inout Output
    ) throws(InflateError) {
        var stream = z_stream()
        guard inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw .outOfMemory
        }
        defer { inflateEnd(&stream) }
        guard bytes.count <= Int(UInt32.max) else { throw .tooLarge }
        stream.next_in = UnsafeMutablePointer(mutating: bytes.bindMemory(to: UInt8.self).baseAddress)
        stream.avail_in = UInt32(bytes.count)
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 16)
        defer { block.deallocate() }
        while true {
            stream.next_out = block.bindMemory(to: UInt8.self).baseAddress
            stream.avail_out = UInt32(block.count)
            let status = CInflate.inflate(&stream, Z_NO_FLUSH)
            let produced = block.count - Int(stream.avail_out)
            try output.append(UnsafeRawBufferPointer(rebasing: block[..<produced]))
            switch status {
            case Z_STREAM_END:
                if stream.avail_in == 0 { return }
                // A gzip file may be several members, one after the other (RFC 1952, 2.2).
                guard allowsMembers, inflateReset(&stream) == Z_OK else { throw .corrupt }
            case Z_OK: continue
            case Z_MEM_ERROR: throw .outOfMemory
            default: throw .corrupt  // Z_BUF_ERROR: the input ended early.
            }
        }
    }

    // MARK: Brotli

    private static func inflateBrotli(_ bytes: UnsafeRawBufferPointer, into output: inout Output) throws(InflateError) {
        guard let decoder = BrotliDecoderCreateInstance(nil, nil, nil) else { throw .outOfMemory }
        defer { BrotliDecoderDestroyInstance(decoder) }
        var availableIn = bytes.count
        var nextIn = bytes.bindMemory(to: UInt8.self).baseAddress
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 16)
        defer { block.deallocate() }
        while true {
            var availableOut = block.count
            var nextOut = block.bindMemory(to: UInt8.self).baseAddress
            let status = BrotliDecoderDecompressStream(decoder, &availableIn, &nextIn, &availableOut, &nextOut, nil)
            try output.append(UnsafeRawBufferPointer(rebasing: block[..<(block.count - availableOut)]))
            switch status {
            case BROTLI_DECODER_RESULT_SUCCESS:
                guard availableIn == 0 else { throw .corrupt }
                return
            case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT: continue
            default: throw .corrupt  // NEEDS_MORE_INPUT: the input ended early.
            }
        }
    }

    // MARK: Zstandard

    private static func inflateZstandard(_ bytes: UnsafeRawBufferPointer, into output: inout Output)
        throws(InflateError)
    {
        guard let stream = ZSTD_createDStream() else { throw .outOfMemory }
        defer { ZSTD_freeDStream(stream) }
        // 8 MiB is what a decoder should support and a sender may assume (RFC 9659).
        ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 23)
        var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 16)
        defer { block.deallocate() }
        var isAtFrameEnd = false
        while true {
            var out = ZSTD_outBuffer(dst: block.baseAddress, size: block.count, pos: 0)
            let hint = ZSTD_decompressStream(stream, &out, &input)
            guard ZSTD_isError(hint) == 0 else { throw .corrupt }
            try output.append(UnsafeRawBufferPointer(rebasing: block[..<out.pos]))
            isAtFrameEnd = hint == 0
            if input.pos == input.size && (isAtFrameEnd || out.pos < out.size) { break }
        }
        guard isAtFrameEnd else { throw .corrupt }
    }
}
