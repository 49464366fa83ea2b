import Crypto
import Formats
import Testing

@Suite("Hashes and authentication codes")
struct HashTests {
    @Test(
        "SHA-256 has the values of FIPS 180-4's examples",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
            (
                String(repeating: "a", count: 1_000_000),
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
            ),
        ]
    )
    func sha256(text: String, hex: String) {
        #expect(SHA256.hex(text) == hex)
        #expect(SHA256.hex(Array(text.utf8)) == hex)
        #expect(Hex.encode(SHA256.hash(text)) == hex)
    }

    /// Key, data and code in hexadecimal.
    @Test(
        "HMAC-SHA-256 has the values of RFC 4231",
        arguments: [
            (
                String(repeating: "0b", count: 20), "4869205468657265",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                String(repeating: "aa", count: 20), String(repeating: "dd", count: 50),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
            ),
            (
                "0102030405060708090a0b0c0d0e0f10111213141516171819", String(repeating: "cd", count: 50),
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
            ),
            (
                String(repeating: "aa", count: 131),
                "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669727374",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
            ("", "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
        ]
    )
    func hmac(key: String, data: String, code: String) throws {
        let key = try #require(Hex.decode(key))
        let data = try #require(Hex.decode(data))
        var code = try #require(Hex.decode(code))
        #expect(HMACSHA256.authenticate(data, key: key) == code)
        #expect(HMACSHA256.isValid(code, for: data, key: key))
        #expect(!HMACSHA256.isValid(Array(code.dropLast()), for: data, key: key))
        #expect(!HMACSHA256.isValid([], for: data, key: key))
        code[31] ^= 1
        #expect(!HMACSHA256.isValid(code, for: data, key: key))
        #expect(HMACSHA256.authenticate("é", key: key) == HMACSHA256.authenticate([0xC3, 0xA9], key: key))
    }

    @Test(
        "secrets are equal when every byte is",
        arguments: [("", "", true), ("a", "a", true), ("a", "b", false), ("a", "aa", false), ("", "a", false)]
    )
    func constantTime(left: String, right: String, isEqual: Bool) {
        #expect(ConstantTime.equal(left, right) == isEqual)
        #expect((Secret(left) == Secret(right)) == isEqual)
    }

    @Test(
        "XXH64 has the values of its specification",
        arguments: [("", 0, 0xEF46_DB37_51D8_E999), ("a", 0, 0xD24E_C4F1_A98C_6E5B), ("abc", 0, 0x44BC_2CF5_AD77_0999)]
            as [(String, UInt64, UInt64)]
    )
    func xxh64(text: String, seed: UInt64, hash: UInt64) {
        #expect(XXH64.hash(text, seed: seed) == hash)
        #expect(XXH64.hash(Array(text.utf8), seed: seed) == hash)
        #expect(XXH64.hash(text, seed: seed &+ 1) != hash)
    }

    @Test("random bytes come in the number asked for and differ")
    func random() {
        #expect(SecureRandom.bytes(0) == [])
        #expect(SecureRandom.bytes(1000).count == 1000)
        #expect(SecureRandom.bytes(32) != SecureRandom.bytes(32))
    }

    @Test("a secret shows itself in no printed form")
    func secret() {
        struct Holder { let token: Secret }
        let secret = Secret("sk-live-42")
        var dumped = ""
        dump(Holder(token: secret), to: &dumped)
        for text in [
            "\(secret)", String(reflecting: secret), String(describing: [secret]), "\(Holder(token: secret))", dumped,
        ] {
            #expect(!text.contains("sk-live") && text.contains("•••"))
        }
        #expect(secret.reveal() == "sk-live-42" && secret.withValue { $0.count } == 10 && !secret.isEmpty)
    }
}
