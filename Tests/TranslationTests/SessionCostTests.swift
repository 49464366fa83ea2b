import Dialects
import Domain
import Formats
import Testing

/// What it costs a call to find out which conversation it belongs to, beside reading its body at all.
@Suite("The cost of sessions", .serialized)
struct SessionCostTests {
    private static let slowness = _isDebugAssertConfiguration() ? 20 : 1
    private static let scope = SessionScope(
        user: UserID(1),
        key: KeyID(7),
        clientIP: "192.0.2.1",
        userAgent: Array("test/1.0".utf8)
    )

    private static func body(turns: Int, characters: Int, metadata: String = "") -> [UInt8] {
        let text = String(repeating: "some words of it ", count: characters / 17 + 1)
        let messages = (0..<turns).map { turn in
            #"{"role":"\#(turn.isMultiple(of: 2) ? "user" : "assistant")","content":"\#(text)"}"#
        }
        return Array(
            #"{"model":"claude-a","max_tokens":9,\#(metadata)"messages":[\#(messages.joined(separator: ","))]}"#.utf8
        )
    }

    @Test(
        "a call finds its session in microseconds",
        arguments: [
            ("a small call", body(turns: 1, characters: 20), 5),
            ("200 KB in 40 turns", body(turns: 40, characters: 5000), 200),
            ("200 KB with a name", body(turns: 40, characters: 5000, metadata: name), 5),
        ]
    )
    func cost(name: String, body: [UInt8], microseconds: Int) throws {
        let parser = JSONParser()
        let route = CallRoute(.anthropic)
        var least = Duration.seconds(1000)
        var read = Duration.seconds(1000)
        for _ in 0..<30 {
            read = min(
                read,
                try ContinuousClock().measure {
                    for _ in 0..<20 {
                        _ = try parser.outline(body) { try Dialect.anthropic.wire.summary(of: $0, route) }
                    }
                } / 20
            )
            least = min(
                least,
                try parser.outline(body) { request in
                    ContinuousClock().measure {
                        for _ in 0..<20 { _ = SessionReader.session(of: request, route, Self.scope) }
                    } / 20
                }
            )
        }
        print("\(name): \(least) beside \(read) for reading it and the summary")
        #expect(least <= .microseconds(microseconds * Self.slowness), "\(name): \(least)")
    }

    private static let name =
        #""metadata":{"user_id":"user_a_account__session_1f7a4d52-8f5e-4b0a-9a3c-0123456789ab"},"#
}
