import Formats
import TestSupport
import Testing

@Suite("Base 64, hexadecimal and checksums")
struct EncodingTests {
    @Test(
        "the vectors of RFC 4648",
        arguments: [
            ("", "", ""), ("f", "Zg==", "66"), ("fo", "Zm8=", "666f"), ("foo", "Zm9v", "666f6f"),
            ("foob", "Zm9vYg==", "666f6f62"),
            ("fooba", "Zm9vYmE=", "666f6f6261"), ("foobar", "Zm9vYmFy", "666f6f626172"),
        ]
    )
    func vectors(text: String, base64: String, hex: String) {
        let bytes = Array(text.utf8)
        let unpadded = String(base64.prefix { $0 != "=" })
        #expect(Base64.encode(bytes) == base64)
        #expect(Base64.encode(bytes, .url) == unpadded)
        #expect(Base64.decode(base64) == bytes)
        #expect(Base64.decode(unpadded, .url) == bytes)
        #expect(Hex.encode(bytes) == hex)
        #expect(Hex.decode(hex) == bytes)
        #expect(Hex.decode(hex.uppercased()) == bytes)
    }

    @Test("each alphabet has its own last two digits")
    func alphabets() {
        #expect(Base64.encode([0xFB, 0xFF, 0xBF]) == "+/+/")
        #expect(Base64.encode([0xFB, 0xFF, 0xBF], .url) == "-_-_")
        #expect(Base64.decode("+/+/") == [0xFB, 0xFF, 0xBF])
        #expect(Base64.decode("-_-_", .url) == [0xFB, 0xFF, 0xBF])
        #expect(Base64.decode("-_-_") == nil)
        #expect(Base64.decode("+/+/", .url) == nil)
    }

    @Test("any bytes come back")
    func roundTrip() {
        var random = SeededGenerator(seed: 9)
        for count in 0..<300 {
            let bytes = random.bytes(count)
            #expect(Base64.decode(Base64.encode(bytes)) == bytes)
            #expect(Base64.decode(Base64.encode(bytes, .url), .url) == bytes)
            #expect(Base64.decode(Base64.encode(bytes, .url)[...], .url) == bytes)
            #expect(Hex.decode(Hex.encode(bytes)) == bytes)
        }
    }

    @Test(
        "only the canonical standard form is read",
        arguments: [
            "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm8", "Z===", "====", "=", "Zm9v=", "Zm9v\n", " Zm9v", "Zm 9v",
            "Zg==Zg==", "Zm9é", "Z\0==", "Zm9vZg=A",
        ]
    )
    func refused(text: String) {
        #expect(Base64.decode(text) == nil)
    }

    @Test(
        "only the canonical url form is read",
        arguments: ["Z", "Zg==", "Zh", "Zm9", "Zm9v=", "Zm9vZ", "Zm9v.", "Z\0"]
    )
    func refusedURL(text: String) {
        #expect(Base64.decode(text, .url) == nil)
    }

    @Test("only pairs of digits are hexadecimal", arguments: ["0", "000", "0g", "g0", "0x00", " 00", "00 ", "é"])
    func refusedHex(text: String) {
        #expect(Hex.decode(text) == nil)
    }

    @Test("CRC-32 has its check value and can be continued")
    func crc() {
        let digits = Array("123456789".utf8)
        #expect(CRC32.checksum(digits) == 0xCBF4_3926)
        #expect(CRC32.checksum([]) == 0)
        digits.withUnsafeBytes { bytes in
            let start = CRC32.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<4]))
            #expect(CRC32.checksum(UnsafeRawBufferPointer(rebasing: bytes[4...]), startingFrom: start) == 0xCBF4_3926)
        }
    }
}
