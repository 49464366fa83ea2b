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
                if let unit = unit(bytes, at + 2) {
                    // What is looked for in these texts has no halves of pairs.
                    out.append(contentsOf: String(Unicode.Scalar(unit).map { Character($0) } ?? " ").utf8)
                    at += 6
                    continue
                }
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
