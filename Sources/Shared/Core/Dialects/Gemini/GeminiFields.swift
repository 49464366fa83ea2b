import Domain
import Formats

extension FieldReader {
    /// The name under which a member stands: Google's APIs take both spellings of every field.
    ///
    /// - Throws: `TranslationFault` when it stands under both.
    internal func either(_ camel: StaticString, _ snake: StaticString) throws -> StaticString {
        guard has(snake) else { return camel }
        guard !has(camel) else { throw fault(camel, "stands more than once") }
        return snake
    }
}

/// `thoughtSignature`: bytes in base 64, which Google's own clients decode and encode again in the URL's alphabet.
///
/// The seal of another dialect is text of ours and stands in it as such bytes.
internal enum GeminiSeal {
    static func read(_ text: String) -> (seal: NeutralSignature, isRedacted: Bool) {
        if let bytes = GeminiBase64.standard(text).flatMap({ Base64.decode($0) }) {
            let carried = String(decoding: bytes, as: UTF8.self)
            let seal = NeutralSignature(carried: carried, by: .gemini)
            if seal.origin != .gemini { return (seal, NeutralSignature.isRedacted(carried: carried)) }
        }
        return (NeutralSignature(text, from: .gemini), false)
    }

    static func text(_ seal: NeutralSignature, isRedacted: Bool = false) -> String {
        if seal.origin == .gemini { return seal.value }
        return Base64.encode(Array(seal.carried(by: .gemini, isRedacted: isRedacted).utf8))
    }
}

internal enum GeminiBase64 {
    /// Base 64 in the standard alphabet, padded, from either alphabet; nil for what is neither.
    static func standard(_ text: String) -> String? {
        if Base64.isValid(text) { return text }
        var bytes = Array(text.utf8)
        while bytes.last == UInt8(ascii: "=") { bytes.removeLast() }
        for at in bytes.indices {
            if bytes[at] == UInt8(ascii: "-") { bytes[at] = UInt8(ascii: "+") }
            if bytes[at] == UInt8(ascii: "_") { bytes[at] = UInt8(ascii: "/") }
        }
        guard bytes.count % 4 != 1 else { return nil }
        while bytes.count % 4 != 0 { bytes.append(UInt8(ascii: "=")) }
        let standard = String(decoding: bytes, as: UTF8.self)
        return Base64.isValid(standard) ? standard : nil
    }
}
