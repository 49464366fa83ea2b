import Dialects

/// What of an upstream's words is kept on an account, for admins.
enum ErrorText {
    static let limit = 512

    /// `403: This service has been disabled …`
    ///
    /// - Parameter url: stands in the text as it is, whatever looks like a secret in it.
    static func kept(_ answer: UpstreamAnswer, url: String? = nil) -> String {
        // More than is kept, and no more than that is looked through.
        let message = String(answer.message.unicodeScalars.prefix(4096))
        let head = "\(answer.status)"
        guard !message.isEmpty || url != nil else { return head }
        guard let url else { return cut(head + ": " + clean(message)) }
        let parts = message.firstRange(of: url).map { (message[..<$0.lowerBound], message[$0.upperBound...]) }
        let before = head + ": " + clean(String(parts?.0 ?? message[...]))
        let after = parts.map { ($0.1.first?.isWhitespace == true ? " " : "") + clean(String($0.1)) } ?? ""
        let room = limit - url.unicodeScalars.count - 1
        guard room > 0 else { return cut(before) }
        return cut(cut(before, to: room) + (before.hasSuffix(" ") ? "" : " ") + url + after)
    }

    /// Any text as it may be kept.
    static func cleaned(_ text: String) -> String { cut(clean(String(text.unicodeScalars.prefix(4096)))) }

    /// One line without control characters and secrets.
    private static func clean(_ text: String) -> String {
        let line = text.unicodeScalars.map { scalar in
            scalar.properties.generalCategory == .control || scalar.properties.isWhitespace ? " " : scalar
        }
        let words = String(String.UnicodeScalarView(line)).split(separator: " ").joined(separator: " ")
        return LeakScrubber.scrub(words) ?? words
    }

    /// The first characters that fit, none of them split.
    private static func cut(_ text: String, to limit: Int = limit) -> String {
        guard text.unicodeScalars.count > limit else { return text }
        var kept = ""
        var room = limit
        for character in text {
            room -= character.unicodeScalars.count
            guard room >= 0 else { break }
            kept.append(character)
        }
        return kept
    }
}
