import CInflate
import Formats
import TestSupport
import Testing

@Suite("Decompression of bodies")
struct InflateTests {
    private static let text = Array(
        #"{"model":"claude","messages":[{"role":"user","content":"one two three one two three one two three"}]}"#.utf8
    )
    private static let brotliText = decoded(
        "G2QAAIzTFfMjhHUPym2pjqt1SfTb8EEUw1qHpauvB1z0indCjdUlgIcsxEfMJmCju2DWeEtEy4lsjksg0MRIE96K+31lSmCg7w=="
    )
    /// 64 MiB of zeros.
    private static let brotliBomb = decoded(
        "y///P/gnAOKxQCD3/o///3/wTwDEYRGA7v0f////4J8AiMMCAN37P/7//8E/ARCHBQC693/8//+DfwIgDgsAdO//+P//B/8EQBwWAOje//H//w/+"
            + "CYA4LADQvf/L//8//BMAcVgAoHv/Bw=="
    )

    private static func decoded(_ text: String) -> [UInt8] { Base64.decode(text) ?? [] }

    static func deflated(_ bytes: [UInt8], windowBits: Int32) -> [UInt8] {
        var stream = z_stream()
        deflateInit2_(
            &stream,
            6,
            Z_DEFLATED,
            windowBits,
            8,
            Z_DEFAULT_STRATEGY,
            ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size)
        )
        defer { deflateEnd(&stream) }
        var input = bytes
        return input.withUnsafeMutableBufferPointer { input in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            return [UInt8](unsafeUninitializedCapacity: Int(deflateBound(&stream, UInt(input.count)))) { out, count in
                stream.next_out = out.baseAddress
                stream.avail_out = UInt32(out.count)
                deflate(&stream, Z_FINISH)
                count = out.count - Int(stream.avail_out)
            }
        }
    }

    static func zstandard(_ bytes: [UInt8], windowLog: Int32 = 0) -> [UInt8] {
        let context = ZSTD_createCCtx()
        defer { ZSTD_freeCCtx(context) }
        if windowLog > 0 { ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, windowLog) }
        return [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(bytes.count)) { out, count in
            count = ZSTD_compress2(context, out.baseAddress, out.count, bytes, bytes.count)
        }
    }

    static func compressed(_ bytes: [UInt8], _ encoding: String) -> [UInt8] {
        switch encoding {
        case "gzip": deflated(bytes, windowBits: 31)
        case "deflate": deflated(bytes, windowBits: 15)
        case "raw deflate": deflated(bytes, windowBits: -15)
        default: zstandard(bytes)
        }
    }

    private static let sizes = [0, 1, 63, 64, 65, 4096, 65_535, 65_536, 65_537, 131_072, 1_000_000]

    @Test(
        "what was compressed comes back, with room to parse it in place",
        arguments: ["gzip", "deflate", "raw deflate", "zstd"]
    )
    func roundTrip(encoding: String) throws {
        var random = SeededGenerator(seed: 3)
        let name = encoding == "raw deflate" ? "deflate" : encoding
        for size in Self.sizes {
            let noise = random.bytes(size)
            let zeros = [UInt8](repeating: 0x20, count: size)
            for bytes in [noise, zeros] {
                let inflated = try Inflate.inflate(
                    Self.compressed(bytes, encoding),
                    encoding: name,
                    limit: max(size, 1)
                )
                #expect(inflated == bytes)
                #expect(inflated.capacity - inflated.count >= JSONParser.padding)
            }
        }
        #expect(try Inflate.inflate(Self.brotliText, encoding: "br", limit: 1000) == Self.text)
        #expect(try Inflate.inflate([0x06], encoding: "br", limit: 1) == [])
    }

    @Test("names are read in any case; unknown ones are refused")
    func names() throws {
        let gzip = Self.compressed(Self.text, "gzip")
        for name in ["gzip", "GZIP", "x-gzip"] {
            #expect(try Inflate.inflate(gzip, encoding: name, limit: 1000) == Self.text)
            #expect(Inflate.isSupported(name))
        }
        #expect(try Inflate.inflate(Self.text, encoding: "identity", limit: Self.text.count) == Self.text)
        for name in ["compress", "gzip, br", "snappy", "*"] {
            #expect(throws: InflateError.unsupported) { try Inflate.inflate(gzip, encoding: name, limit: 1000) }
            #expect(!Inflate.isSupported(name))
        }
    }

    @Test(
        "a body that inflates beyond the limit is refused",
        arguments: ["gzip", "deflate", "raw deflate", "zstd", "identity"]
    )
    func tooLarge(encoding: String) throws {
        let name = encoding == "raw deflate" ? "deflate" : encoding
        let bytes = [UInt8](repeating: 0, count: 200_000)
        let body = encoding == "identity" ? bytes : Self.compressed(bytes, encoding)
        #expect(try Inflate.inflate(body, encoding: name, limit: 200_000) == bytes)
        #expect(try Inflate.inflate(body, encoding: name, limit: .max) == bytes)
        for limit in [Int.min, -1, 0, 1, 65_536, 199_999] {
            #expect(throws: InflateError.tooLarge) { try Inflate.inflate(body, encoding: name, limit: limit) }
        }
    }

    @Test("bombs cost no more memory than the limit")
    func bombs() throws {
        let zeros = [UInt8](repeating: 0, count: 64 << 20)
        let bombs = [
            ("gzip", Self.deflated(zeros, windowBits: 31)), ("zstd", Self.zstandard(zeros)), ("br", Self.brotliBomb),
            (
                "gzip",
                [[UInt8]](repeating: Self.deflated([UInt8](repeating: 0, count: 1 << 16), windowBits: 31), count: 100)
                    .flatMap { $0 }
            ),
        ]
        for (encoding, bomb) in bombs {
            #expect(throws: InflateError.tooLarge) { try Inflate.inflate(bomb, encoding: encoding, limit: 1 << 20) }
        }
        #expect(try Inflate.inflate(Self.brotliBomb, encoding: "br", limit: 64 << 20).count == 64 << 20)
        for (encoding, bomb) in bombs where encoding != "br" {
            let inflated = try Inflate.inflate(bomb, encoding: encoding, limit: 64 << 20)
            #expect(inflated.capacity <= (64 << 20) + 8192)
        }
    }

    @Test("a body cut anywhere is corrupt", arguments: ["gzip", "deflate", "zstd", "br"])
    func truncated(encoding: String) {
        let body = encoding == "br" ? Self.brotliText : Self.compressed(Self.text, encoding)
        for count in 0..<body.count {
            #expect(throws: InflateError.corrupt, "\(count) of \(body.count)") {
                try Inflate.inflate(Array(body[..<count]), encoding: encoding, limit: 1000)
            }
        }
    }

    @Test("bytes after the end are corrupt", arguments: ["gzip", "deflate", "zstd", "br"])
    func trailing(encoding: String) {
        let body = encoding == "br" ? Self.brotliText : Self.compressed(Self.text, encoding)
        for rest in [[0], [0x1F], Array("garbage".utf8)] as [[UInt8]] {
            #expect(throws: InflateError.corrupt) { try Inflate.inflate(body + rest, encoding: encoding, limit: 1000) }
        }
    }

    @Test("several gzip members or zstd frames are one body", arguments: ["gzip", "zstd"])
    func members(encoding: String) throws {
        let body =
            Self.compressed(Self.text, encoding) + Self.compressed([], encoding) + Self.compressed([0x21], encoding)
        #expect(try Inflate.inflate(body, encoding: encoding, limit: 1000) == Self.text + [0x21])
        let cut = Array(body.dropLast(3))
        #expect(throws: InflateError.corrupt) { try Inflate.inflate(cut, encoding: encoding, limit: 1000) }
    }

    @Test("a zstd window over 8 MiB is refused")
    func largeWindow() {
        let bytes = [UInt8](repeating: 1, count: 20 << 20)
        #expect(throws: InflateError.corrupt) {
            try Inflate.inflate(Self.zstandard(bytes, windowLog: 24), encoding: "zstd", limit: 32 << 20)
        }
        #expect(throws: Never.self) {
            try Inflate.inflate(Self.zstandard(bytes, windowLog: 23), encoding: "zstd", limit: 32 << 20)
        }
    }

    @Test("mutated bodies are refused or inflated, never a crash", arguments: ["gzip", "deflate", "zstd", "br"])
    func fuzz(encoding: String) {
        var random = SeededGenerator(seed: 11)
        let seed = encoding == "br" ? Self.brotliText : Self.compressed(Self.text, encoding)
        for _ in 0..<3000 {
            let inflated = try? Inflate.inflate(random.mutated(seed), encoding: encoding, limit: 100_000)
            #expect((inflated?.count ?? 0) <= 100_000)
        }
    }
}
