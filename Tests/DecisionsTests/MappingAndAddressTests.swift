import Decisions
import Testing

@Suite("Model mapping")
struct ModelMappingTests {
    @Test("without entries every model keeps its name; with some only those that match are served")
    func whitelist() {
        #expect(ModelMapping([:]).upstreamModel(for: "any") == "any")
        #expect(ModelMapping(["a": "b"]).upstreamModel(for: "a") == "b")
        #expect(ModelMapping(["a": "b"]).upstreamModel(for: "c") == nil)
    }

    @Test("exact names win over patterns, and patterns with a longer fixed part over shorter ones")
    func precedence() {
        let mapping = ModelMapping(["claude-*": "x", "claude-opus-*": "y", "claude-opus-4": "z", "*": "w"])
        #expect(mapping.upstreamModel(for: "claude-opus-4") == "z")
        #expect(mapping.upstreamModel(for: "claude-opus-5") == "y")
        #expect(mapping.upstreamModel(for: "claude-3") == "x")
        #expect(mapping.upstreamModel(for: "gpt") == "w")
    }

    @Test("a star in the target takes what the pattern's star stood for")
    func star() {
        #expect(ModelMapping(["my-*-eu": "eu.*-v1"]).upstreamModel(for: "my-opus-eu") == "eu.opus-v1")
        #expect(ModelMapping(["ab*ba": "x"]).upstreamModel(for: "aba") == nil)
    }
}

@Suite("Who may call from where")
struct AddressTests {
    private func bytes(_ text: String) -> [UInt8] { IPAddress.parse(text)?.bytes ?? [] }

    @Test(
        "ranges contain what they should",
        arguments: [
            ("10.0.0.0/8", "10.1.2.3", true), ("10.0.0.0/8", "11.0.0.1", false),
            ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7", "192.0.2.8", false),
            ("192.0.2.0/25", "192.0.2.127", true), ("192.0.2.0/25", "192.0.2.128", false),
            ("0.0.0.0/0", "8.8.8.8", true), ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true), ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false), ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.9.9.9", true),
        ]
    )
    func contains(range: String, address: String, expected: Bool) throws {
        #expect(try #require(AddressRange(range)).contains(bytes(address)) == expected)
    }

    @Test(
        "what is no address or range is refused",
        arguments: ["", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/-1", "::/129", "x", "1.2.3.4/", "1.2.3.4/ 8", "01.2.3.4"]
    )
    func refused(text: String) { #expect(AddressRange(text) == nil) }

    @Test("the blacklist wins, an empty whitelist admits all, and a rule that cannot be read admits nobody")
    func rules() {
        #expect(AddressRules(whitelist: [], blacklist: []).admits(bytes("1.2.3.4")))
        #expect(!AddressRules(whitelist: ["1.2.3.0/24"], blacklist: ["1.2.3.4"]).admits(bytes("1.2.3.4")))
        #expect(!AddressRules(whitelist: ["1.2.3.0/24"], blacklist: []).admits(bytes("1.2.4.4")))
        #expect(!AddressRules(whitelist: [], blacklist: ["nonsense"]).admits(bytes("1.2.3.4")))
    }

    @Test("X-Forwarded-For counts from the right, as far as proxies are trusted")
    func forwarded() throws {
        let trusted = [try #require(AddressRange("10.0.0.0/8"))]
        func client(_ peer: String, _ header: String) -> [UInt8] {
            ClientAddress.resolve(peer: bytes(peer), forwardedFor: [header], trusted: trusted)
        }
        #expect(client("10.0.0.1", "6.6.6.6, 203.0.113.9") == bytes("203.0.113.9"))
        #expect(client("10.0.0.1", "203.0.113.9, 10.0.0.2") == bytes("203.0.113.9"))
        #expect(client("198.51.100.1", "203.0.113.9") == bytes("198.51.100.1"))
        #expect(client("10.0.0.1", "garbage") == bytes("10.0.0.1"))
    }
}
