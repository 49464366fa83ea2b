import Formats
import TestSupport
import Testing

@testable import Crypto

@Suite("Sealed texts")
struct SealedBoxTests {
    private static func key(_ byte: UInt8) -> String { Base64.encode([UInt8](repeating: byte, count: 32)) }
    private static func ring(_ text: String) throws -> MasterKeyRing { try MasterKeyRing(text) }

    private let context = SealingContext.account(12, field: "api_key")
    private let nonce = [UInt8](1...12)

    /// Key, nonce, associated data, plaintext, ciphertext and tag, from the GCM specification (cases 13 to 16).
    @Test(
        "AES-256-GCM has the values of its specification",
        arguments: [
            (
                String(repeating: "0", count: 64), String(repeating: "0", count: 24), "", "",
                "530f8afbc74536b9a963b4f1c4cb738b"
            ),
            (
                String(repeating: "0", count: 64), String(repeating: "0", count: 24), "",
                String(repeating: "0", count: 32),
                "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
            ),
            (
                "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
                "feedfacedeadbeeffeedfacedeadbeefabaddad2",
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
            ),
        ]
    )
    func vectors(key: String, nonce: String, associated: String, plaintext: String, sealed: String) throws {
        let key = try #require(Hex.decode(key))
        let nonce = try #require(Hex.decode(nonce))
        let associated = try #require(Hex.decode(associated))
        let plaintext = try #require(Hex.decode(plaintext))
        let result = AESGCM.seal(plaintext, key: key, nonce: nonce, associated: associated)
        #expect(Hex.encode(result) == sealed)
        #expect(AESGCM.open(result[...], key: key, nonce: nonce, associated: associated) == plaintext)
    }

    @Test("a sealed text opens for its own context, whatever its length")
    func roundTrip() throws {
        let ring = try Self.ring("k1:\(Self.key(7))")
        var random = SeededGenerator(seed: 1)
        for count in [0, 1, 15, 16, 17, 100, 10_000] {
            let plaintext = random.bytes(count)
            let sealed = SealedBox.seal(plaintext, for: context, with: ring, nonce: nonce)
            #expect(sealed.hasPrefix("v1.k1.") && !sealed.contains("="))
            #expect(try SealedBox.open(sealed, for: context, with: ring) == plaintext)
        }
        let sealed = SealedBox.seal(Secret("sk-é"), for: context, with: ring, nonce: nonce)
        #expect(try SealedBox.openSecret(sealed, for: context, with: ring) == Secret("sk-é"))
        #expect(SealedBox.keyID(of: sealed) == "k1")
    }

    @Test("a sealed text does not open for another account, field or kind")
    func contexts() throws {
        let ring = try Self.ring("k1:\(Self.key(7))")
        let sealed = SealedBox.seal([1, 2, 3], for: context, with: ring, nonce: nonce)
        let others = [
            SealingContext.account(13, field: "api_key"), .account(12, field: "refresh_token"),
            .account(1, field: "2 api_key"),
            SealingContext(kind: "proxy", id: 12, field: "api_key"),
            SealingContext(kind: "account 12", id: 12, field: "api_key"),
        ]
        for other in others {
            #expect(throws: SealingError.tampered) { try SealedBox.open(sealed, for: other, with: ring) }
        }
    }

    @Test("after a rotation old texts open and new ones are sealed with the new key")
    func rotation() throws {
        let before = try Self.ring("old:\(Self.key(1))")
        let during = try Self.ring("new:\(Self.key(2)),old:\(Self.key(1))")
        let after = try Self.ring("new:\(Self.key(2))")
        let old = SealedBox.seal([1], for: context, with: before, nonce: nonce)
        let new = SealedBox.seal([1], for: context, with: during, nonce: nonce)
        #expect(SealedBox.keyID(of: old) == "old" && SealedBox.keyID(of: new) == "new")
        #expect(try SealedBox.open(old, for: context, with: during) == [1])
        #expect(try SealedBox.open(new, for: context, with: after) == [1])
        #expect(throws: SealingError.unknownKey(id: "old")) { try SealedBox.open(old, for: context, with: after) }
        let other = try Self.ring("old:\(Self.key(9))")
        #expect(throws: SealingError.tampered) { try SealedBox.open(old, for: context, with: other) }
        let renamed = "v1.new." + old.split(separator: ".")[2]
        #expect(throws: SealingError.tampered) { try SealedBox.open(renamed, for: context, with: during) }
    }

    @Test(
        "what is not a sealed text is malformed",
        arguments: [
            "", "v1", "v1.k1", "v1.k1.", "v2.k1.AAAA", "v1..AAAA", "v1.k1.AAAA", "v1.k1.AAAA.AAAA", "v1.k 1.AAAA",
            "plain text",
            "v1.k1.\(String(repeating: "A", count: 36))", "v1.k1.\(String(repeating: "=", count: 40))",
            "v1.k1.\(String(repeating: "+", count: 40))", "V1.k1.\(String(repeating: "A", count: 40))",
            "v1.\(String(repeating: "k", count: 33)).\(String(repeating: "A", count: 40))",
        ]
    )
    func malformed(text: String) throws {
        let ring = try Self.ring("k1:\(Self.key(7))")
        #expect(throws: SealingError.malformed) { try SealedBox.open(text, for: context, with: ring) }
    }

    @Test("any changed character keeps a text shut")
    func tampering() throws {
        let ring = try Self.ring("k1:\(Self.key(7))")
        let sealed = Array(SealedBox.seal(Array("secret".utf8), for: context, with: ring, nonce: nonce).utf8)
        for at in sealed.indices {
            for byte in Array("vk1.A_-z9+".utf8) where byte != sealed[at] {
                var changed = sealed
                changed[at] = byte
                #expect(throws: SealingError.self) {
                    try SealedBox.open(String(decoding: changed, as: UTF8.self), for: context, with: ring)
                }
            }
        }
        var random = SeededGenerator(seed: 2)
        for _ in 0..<3000 {
            let changed = random.mutated(sealed, alphabet: Array("v1.kAz_-=é".utf8))
            guard changed != sealed else { continue }
            #expect(throws: SealingError.self) {
                try SealedBox.open(String(decoding: changed, as: UTF8.self), for: context, with: ring)
            }
        }
    }

    @Test("a ring is read from a list; its first key seals")
    func ring() throws {
        let ring = try Self.ring(" k2:\(Self.key(2)),\n\tk1:\(Self.key(1))\n")
        #expect(ring.currentID == "k2" && ring.ids == ["k2", "k1"])
        for text in ["\(ring)", String(reflecting: ring)] {
            #expect(!text.contains(Self.key(2).prefix(8)) && text.contains("k2"))
        }
        var dumped = ""
        dump(ring, to: &dumped)
        #expect(!dumped.contains("2, 2") && dumped.contains("k2"))
    }

    @Test(
        "faults of a ring are named without showing a key",
        arguments: [
            ("", .noKeys), (" , ", .noKeys), (key(1), .notAnEntry(1)), ("k1:\(key(1)),x", .notAnEntry(2)),
            (":\(key(1))", .invalidID(1)), ("k.1:\(key(1))", .invalidID(1)), ("é:\(key(1))", .invalidID(1)),
            ("k1:\(key(1)) k1:\(key(2))", .duplicateID("k1")), ("k1:", .invalidKey(id: "k1")),
            ("k1:\(Base64.encode([UInt8](repeating: 1, count: 31)))", .invalidKey(id: "k1")),
            ("k1:\(key(1)),k2:\(Base64.encode([UInt8](repeating: 1, count: 33)))", .invalidKey(id: "k2")),
            ("k1:not-base64", .invalidKey(id: "k1")),
        ] as [(String, MasterKeyFault)]
    )
    func faults(text: String, fault: MasterKeyFault) {
        #expect(throws: fault) { try MasterKeyRing(text) }
        #expect(!fault.description.contains("AQEB"))
    }
}
