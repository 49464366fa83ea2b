import Crypto
import TestSupport
import Testing

@Suite("The form of API keys")
struct APIKeyFormatTests {
    @Test("generated keys are well formed and differ")
    func generated() {
        var seen: Set<String> = []
        for _ in 0..<500 {
            let key = APIKeyFormat.generate(random: SecureRandom.bytes)
            #expect(key.utf8.count == APIKeyFormat.length && key.hasPrefix("tg-"))
            #expect(APIKeyFormat.isWellFormed(key))
            #expect(APIKeyFormat.displayPrefix(key) == key.prefix(10) + "…")
            #expect(APIKeyFormat.hash(key) == SHA256.hex(key))
            seen.insert(key)
        }
        #expect(seen.count == 500)
    }

    @Test("the same random bytes give the same key")
    func fixed() {
        let key = APIKeyFormat.generate { [UInt8](repeating: 61, count: $0) }
        #expect(key.dropLast(6) == "tg-" + String(repeating: "z", count: 43))
        #expect(APIKeyFormat.isWellFormed(key))
        #expect(key == APIKeyFormat.generate { [UInt8](repeating: 61, count: $0) })
    }

    @Test("bytes that would favour some characters are passed over, and more are asked for")
    func unbiased() {
        var calls = 0
        let key = APIKeyFormat.generate { count in
            calls += 1
            return calls < 3 ? [UInt8](repeating: 248, count: count) : [UInt8](repeating: 0, count: 1)
        }
        #expect(calls == 45)
        #expect(key.dropLast(6) == "tg-" + String(repeating: "0", count: 43))

        var random = SeededGenerator(seed: 4)
        var counts: [Character: Int] = [:]
        for _ in 0..<4000 {
            for character in APIKeyFormat.generate(random: { random.bytes($0) }).dropFirst(3).dropLast(6) {
                counts[character, default: 0] += 1
            }
        }
        let expected = 4000.0 * 43 / 62
        #expect(counts.count == 62)
        // Five standard deviations; a plain remainder would give the first eight characters a quarter more.
        #expect(counts.values.allSatisfy { abs(Double($0) - expected) < 5 * expected.squareRoot() })
    }

    @Test("any single wrong character is noticed")
    func mistyped() {
        let key = Array(APIKeyFormat.generate(random: SecureRandom.bytes).utf8)
        for at in key.indices {
            for byte in UInt8.min...UInt8.max where byte != key[at] {
                var wrong = key
                wrong[at] = byte
                guard wrong.withUnsafeBytes({ APIKeyFormat.isWellFormed($0) }) else { continue }
                Issue.record("\(byte) at \(at) is not noticed")
            }
            guard at + 1 < key.count, key[at] != key[at + 1] else { continue }
            var swapped = key
            swapped.swapAt(at, at + 1)
            #expect(!swapped.withUnsafeBytes { APIKeyFormat.isWellFormed($0) })
        }
    }

    @Test(
        "other texts are not keys",
        arguments: [
            "", "tg-", "sk-ant-api03-x", String(repeating: "a", count: 52), "tg-" + String(repeating: "é", count: 24),
        ]
    )
    func refused(text: String) {
        #expect(!APIKeyFormat.isWellFormed(text))
        #expect(!APIKeyFormat.isWellFormed(UnsafeRawBufferPointer(start: nil, count: 0)))
    }
}
