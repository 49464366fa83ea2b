import Crypto
import Formats
import Testing

@Suite("Sealed texts")
struct SealedBoxTests {
    @Test("a sealed text opens for its own context")
    func roundTrip() throws {
        let ring = try MasterKeyRing("k1:" + Base64.encode([UInt8](repeating: 7, count: 32)))
        let context = SealingContext.account(12, field: "api_key")
        let sealed = SealedBox.seal(Secret("sk-1"), for: context, with: ring, nonce: [UInt8](repeating: 1, count: 12))
        #expect(sealed.hasPrefix("v1.k1."))
        #expect(try SealedBox.openSecret(sealed, for: context, with: ring).reveal() == "sk-1")
    }
}
