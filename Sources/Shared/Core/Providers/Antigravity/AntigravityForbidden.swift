import Domain
import Formats

/// What kind of 403 it is, and where the account's owner can set it right.
struct AntigravityForbidden {
    let type: ForbiddenType
    let url: String?

    private static let validationWords = ["validation_required", "verify your account", "validation_url"]
    private static let violationWords = ["terms of service", "violation", "banned"]
    /// What a text speaks of whose URL leads to a verification or an appeal.
    private static let remedyWords = ["verif", "validat", "appeal"]

    init(_ answer: UpstreamAnswer) {
        type =
            answer.says(anyOf: Self.validationWords)
            ? .validation : answer.says(anyOf: Self.violationWords) ? .violation : .forbidden
        url = Self.structured(answer) ?? Self.inText(answer)
    }

    private static func structured(_ answer: UpstreamAnswer) -> String? {
        for name in ["validation_url", "appeal_url"] {
            for detail in answer.details.prefix(32) {
                if let url = detail["metadata"]?[name]?.string.flatMap({ WebAddress.first(in: $0) }) { return url }
            }
        }
        return nil
    }

    private static func inText(_ answer: UpstreamAnswer) -> String? {
        for text in answer.texts {
            guard Words.contains(text.lowercased(), anyOf: remedyWords) else { continue }
            if let url = WebAddress.first(in: text) { return url }
        }
        return nil
    }
}

/// Web addresses within a text.
enum WebAddress {
    private static let longest = 2048

    /// The first http(s) URL, JSON's escapes in it decoded: texts can be JSON within JSON.
    static func first(in text: String) -> String? {
        let bytes = Array(JSONEscapes.decoded(text).utf8)
        var at = 0
        while let start = Self.start(in: bytes, from: at) {
            var end = start
            while end < bytes.count, isPart(bytes[end]) { end += 1 }
            // What closes a sentence or a bracket is not the address' own.
            while end > start, isClosing(bytes[end - 1]) { end -= 1 }
            let url = String(decoding: bytes[start..<end], as: UTF8.self)
            if let scheme = url.firstRange(of: "://"), scheme.upperBound < url.endIndex, end - start <= longest {
                return url
            }
            at = start + 4
        }
        return nil
    }

    private static func start(in bytes: [UInt8], from: Int) -> Int? {
        guard from < bytes.count else { return nil }
        return bytes.indices[from...].first { at in
            guard bytes[at] | 0x20 == UInt8(ascii: "h") else { return false }
            return has("http://", bytes, at) || has("https://", bytes, at)
        }
    }

    private static func has(_ scheme: String, _ bytes: [UInt8], _ at: Int) -> Bool {
        let scheme = scheme.utf8
        return at + scheme.count <= bytes.count
            && zip(scheme, bytes[at...]).allSatisfy { $0 == ($1 &- 0x41 < 26 ? $1 | 0x20 : $1) }
    }

    private static func isPart(_ byte: UInt8) -> Bool {
        switch byte {
        case 0...0x20, 0x7f..., UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "<"), UInt8(ascii: ">"),
            UInt8(ascii: "`"), UInt8(ascii: "\\"), UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: "|"),
            UInt8(ascii: "^"):
            false
        default: true
        }
    }

    private static func isClosing(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "."), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: ":"), UInt8(ascii: "!"),
            UInt8(ascii: "?"), UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "*"):
            true
        default: false
        }
    }
}

/// JSON's escapes in a text that no parser has read.
enum JSONEscapes {
    static func decoded(_ text: String) -> String {
        let bytes = Array(text.utf8)
        guard bytes.contains(UInt8(ascii: "\\")) else { return text }
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var at = 0
        while at < bytes.count {
            guard bytes[at] == UInt8(ascii: "\\"), at + 1 < bytes.count else {
                out.append(bytes[at])
                at += 1
                continue
            }
            switch bytes[at + 1] {
            case UInt8(ascii: "/"), UInt8(ascii: "\""), UInt8(ascii: "\\"): out.append(bytes[at + 1])
            case UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"), UInt8(ascii: "b"), UInt8(ascii: "f"):
                out.append(0x20)
            case UInt8(ascii: "u"):
                if let unit = unit(bytes, at + 2), unit < 0x80 {
                    out.append(UInt8(unit))
                    at += 6
                    continue
                }
                // Addresses are ASCII: what is not ends them.
                out.append(0x20)
            default:
                out.append(bytes[at])
                at += 1
                continue
            }
            at += 2
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func unit(_ bytes: [UInt8], _ at: Int) -> UInt16? {
        guard at + 4 <= bytes.count else { return nil }
        return UInt16(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16)
    }
}
