import Crypto
import HTTPMessages
import Testing

@testable import GatewayKit

@Suite("The caller's key")
struct CallerKeyTests {
    private static let key = APIKeyFormat.generate { SecureRandom.bytes($0) }
    private static let other = APIKeyFormat.generate { SecureRandom.bytes($0) }
    /// The hash of the key that a call with these headers presents.
    private static func hash(in headers: HeaderFields) -> String? {
        CallerKey.first(in: HTTPRequestHead(method: "POST", target: "/v1/messages", headers: headers)) {
            CallerKey.hash(of: $0)
        }
    }

    private static var mistyped: String { String(key.dropLast()) + (key.hasSuffix("A") ? "B" : "A") }

    @Test(
        "each header that can carry a key does",
        arguments: [
            ("x-api-key", ""), ("x-goog-api-key", ""), ("authorization", "Bearer "), ("authorization", "bearer "),
            ("authorization", "BEARER "), ("authorization", "Bearer   "),
        ]
    )
    func found(header: (name: String, prefix: String)) {
        #expect(Self.hash(in: [header.name: header.prefix + Self.key]) == APIKeyFormat.hash(Self.key))
    }

    @Test(
        "what cannot be a key is none",
        arguments: [
            "", "tg-", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer \(mistyped)", mistyped, key + "x", " " + key,
            String(key.dropLast()), "\u{e9}\(key)", "Bearer\(key)", String(repeating: "a", count: 52),
        ]
    )
    func malformed(value: String) {
        #expect(Self.hash(in: ["authorization": value]) == nil)
        #expect(Self.hash(in: ["x-api-key": value]) == nil)
        #expect(Self.hash(in: ["x-goog-api-key": value]) == nil)
    }

    @Test("no header, no key")
    func absent() { #expect(Self.hash(in: [:]) == nil) }

    @Test("x-api-key comes before authorization, and that before x-goog-api-key")
    func order() {
        let (mine, others) = (APIKeyFormat.hash(Self.key), APIKeyFormat.hash(Self.other))
        #expect(Self.hash(in: ["authorization": "Bearer \(Self.other)", "x-api-key": Self.key]) == mine)
        #expect(Self.hash(in: ["x-goog-api-key": Self.other, "authorization": "Bearer \(Self.key)"]) == mine)
        #expect(Self.hash(in: ["x-goog-api-key": Self.other]) == others)
    }

    @Test("a placeholder in one header does not hide the key in another", arguments: ["dummy", "", mistyped])
    func placeholder(value: String) {
        let mine = APIKeyFormat.hash(Self.key)
        #expect(Self.hash(in: ["x-api-key": value, "authorization": "Bearer \(Self.key)"]) == mine)
        #expect(
            Self.hash(in: ["x-api-key": value, "authorization": "Bearer \(value)", "x-goog-api-key": Self.key])
                == mine
        )
    }
}
