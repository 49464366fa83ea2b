package import Formats
package import HTTPMessages

/// An answer that is no success, read once for all rows of the verdict table.
package struct UpstreamAnswer: Sendable {
    /// What ended an attempt.
    package enum Outcome: Sendable {
        case refused(UpstreamAnswer)
        /// Status 200, but no content.
        case emptyStream
        case connectionFailed
        case timedOut
    }

    package let status: Int
    package let headers: HeaderFields
    /// Nil when it is not JSON, or too long to be an error.
    package let json: JSON?
    /// The texts of the body, decoded: its JSON strings in their order, or the body itself.
    let texts: [String]
    /// The body as it stands and its decoded texts, in lower case.
    private let searched: [UInt8]

    /// Of longer bodies this much is looked at.
    private static let textLimit = 64 * 1024

    package init(status: Int, headers: HeaderFields, body: [UInt8], _ parser: JSONParser = JSONParser()) {
        self.status = status
        self.headers = headers
        json = body.count <= Self.textLimit ? try? JSON(body, with: parser) : nil
        let raw = String(decoding: body.prefix(Self.textLimit), as: UTF8.self)
        if let json {
            var texts: [String] = []
            Self.collect(json, into: &texts)
            self.texts = texts
        } else {
            texts = raw.isEmpty ? [] : [raw]
        }
        searched = Array((json == nil ? raw : raw + "\n" + texts.joined(separator: "\n")).lowercased().utf8)
    }

    /// Whether the body says so, in any case.
    ///
    /// - Parameter words: an empty text is said by every body.
    func says(_ words: String) -> Bool { Words.contains(searched, words.lowercased()) }

    func says(anyOf words: [String]) -> Bool { words.contains { says($0) } }

    // MARK: The error's own shape

    /// `error` of the body, of its first element (Gemini streams are arrays), or of the answer within an event (Responses).
    var error: JSON? {
        [json?["error"], json?[0]?["error"], json?["response"]?["error"]].lazy.compactMap { $0 }.first { !$0.isNull }
    }

    /// The upstream's text for people; of a body that is no JSON the body itself, unless it is a page.
    var message: String {
        if let json {
            let text = error?["message"] ?? error ?? json["message"] ?? json["Message"] ?? json["detail"]
            return text?.string ?? json["detail"]?["code"]?.string ?? ""
        }
        return isHTML ? "" : texts.first ?? ""
    }

    /// What of it is kept on an account, for admins: at most 512 characters, without secrets.
    package var keptText: String { ErrorText.kept(self) }

    /// `error.type`, as Anthropic and OpenAI have it.
    var errorType: String { error?["type"]?.string ?? "" }
    var errorCode: String { error?["code"]?.string ?? "" }
    /// `error.details` of Google's APIs (AIP-193).
    var details: [JSON] { error?["details"]?.array ?? [] }

    /// Whether the message begins so, in any case. What an error is about stands there; what it quotes of the caller comes
    /// later.
    func begins(withAnyOf words: [String]) -> Bool {
        let beginning = message.prefix(64).lowercased()
        return words.contains { beginning.hasPrefix($0) }
    }

    /// A page for people: no API answers so, but a proxy on the way.
    var isHTML: Bool {
        if json != nil { return false }
        if let type = headers["content-type"]?.lowercased(), type.hasPrefix("text/html") { return true }
        let start = texts.first?.prefix(256).lowercased().drop { $0.isWhitespace || $0 == "\u{feff}" } ?? ""
        return start.hasPrefix("<!doctype html") || start.hasPrefix("<html")
    }

    /// The decoded strings, within bounds.
    private static func collect(_ json: JSON, into texts: inout [String]) {
        guard texts.count < 256 else { return }
        switch json {
        case .null, .bool, .int, .double: return
        case .string(let text): texts.append(text)
        case .array(let elements): for element in elements { collect(element, into: &texts) }
        case .object(let members): for member in members { collect(member.value, into: &texts) }
        }
    }
}
