import HTTPMessages
import Testing

@testable import Providers

@Suite("What is kept of an upstream's words")
struct ErrorTextTests {
    private func kept(_ message: String, url: String? = nil, status: Int = 403) -> String {
        ErrorText.kept(UpstreamAnswer(status: status, headers: [:], body: Array(message.utf8)), url: url)
    }

    @Test("a text is one line behind its status, and nothing where there is none")
    func oneLine() {
        #expect(kept("not\r\n\tfor \u{0}you") == "403: not for you")
        #expect(kept("") == "403")
        #expect(kept("<html>blocked</html>") == "403")
        #expect(kept(#"{"error":{"message":"a\u0000b"}}"#, status: 400) == "400: a b")
    }

    @Test("it has at most 512 characters, and none is split", arguments: ["x", "é", "e\u{301}", "👩🏽‍🚀", "中", "🇩🇪"])
    func length(character: String) {
        let text = kept(String(repeating: character, count: 600))
        #expect(text.unicodeScalars.count <= 512)
        #expect(text.unicodeScalars.count > 512 - character.unicodeScalars.count)
        #expect(text.dropFirst(5).allSatisfy { String($0) == character })
    }

    @Test("secrets are taken out")
    func secrets() {
        let text = kept("key sk-ant-api03-abcdefghijklmnop of jane@example.com, Bearer abcdefgh12345678zz")
        #expect(text == "403: key [redacted] of [redacted], Bearer [redacted]")
    }

    @Test("a URL that must be followed stays whole, whatever it looks like and however long the text")
    func urls() {
        let url = "https://a.test/x?token=abcdefghijklmnop1234567890&key=AIzaSyA1234567890abcdefghij"
        #expect(kept("verify at \(url) now", url: url) == "403: verify at \(url) now")
        #expect(kept("verify at \(url).", url: url) == "403: verify at \(url).")
        #expect(kept("verify", url: url) == "403: verify \(url)")
        #expect(kept("", url: url) == "403: \(url)")
        let long = kept(String(repeating: "long ", count: 300), url: url)
        #expect(long.hasSuffix(url) && long.unicodeScalars.count <= 512)
        let endless = "https://a.test/" + String(repeating: "x", count: 600)
        #expect(kept("verify", url: endless) == "403: verify")
    }
}
