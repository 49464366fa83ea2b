/// What of a request is signed, in the one form in which client and server both write it (AWS IAM guide, "Create a
/// canonical request").
internal struct SigV4CanonicalRequest {
    let bytes: [UInt8]
    /// Names of the signed fields, sorted, between semicolons.
    let signedHeaders: String

    init(
        method: String,
        path: String,
        query: String,
        headers: SigV4Signer.Fields,
        payloadHash: String
    ) {
        var out: [UInt8] = []
        out.reserveCapacity(512)
        out.append(contentsOf: method.utf8)
        out.append(UInt8(ascii: "\n"))
        Self.append(path: path, to: &out)
        out.append(UInt8(ascii: "\n"))
        Self.append(query: query, to: &out)
        out.append(UInt8(ascii: "\n"))
        signedHeaders = Self.append(headers: headers, to: &out)
        out.append(UInt8(ascii: "\n"))
        out.append(contentsOf: signedHeaders.utf8)
        out.append(UInt8(ascii: "\n"))
        out.append(contentsOf: payloadHash.utf8)
        bytes = out
    }

    /// Without empty, `.` and `..` segments, then percent-encoded once more: what went over the wire as `%3A` is
    /// signed as `%253A`.
    private static func append(path: String, to out: inout [UInt8]) {
        let path = Array(path.utf8)
        var kept: [ArraySlice<UInt8>] = []
        for segment in path.split(separator: UInt8(ascii: "/")) {
            if segment.elementsEqual("..".utf8) {
                _ = kept.popLast()
            } else if !segment.elementsEqual(".".utf8) {
                kept.append(segment)
            }
        }
        for segment in kept {
            out.append(UInt8(ascii: "/"))
            appendEncoded(segment, to: &out)
        }
        if kept.isEmpty || path.last == UInt8(ascii: "/") { out.append(UInt8(ascii: "/")) }
    }

    /// Parameters sorted by encoded name, then value. What is encoded already stays; a `+` is itself, not a space.
    private static func append(query: String, to out: inout [UInt8]) {
        guard !query.isEmpty else { return }
        var parameters: [(name: [UInt8], value: [UInt8])] = []
        for pair in query.utf8.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: true) {
            let equals = pair.firstIndex(of: UInt8(ascii: "="))
            var name: [UInt8] = []
            var value: [UInt8] = []
            appendEncoded(decoded(pair[..<(equals ?? pair.endIndex)]), to: &name)
            if let equals { appendEncoded(decoded(pair[pair.index(after: equals)...]), to: &value) }
            parameters.append((name, value))
        }
        parameters.sort {
            $0.name == $1.name
                ? $0.value.lexicographicallyPrecedes($1.value) : $0.name.lexicographicallyPrecedes($1.name)
        }
        for (at, (name, value)) in parameters.enumerated() {
            if at > 0 { out.append(UInt8(ascii: "&")) }
            out.append(contentsOf: name)
            out.append(UInt8(ascii: "="))
            out.append(contentsOf: value)
        }
    }

    /// A line a name, in lower case and sorted; values of one name in their order, between commas. Returns the names.
    private static func append(headers: SigV4Signer.Fields, to out: inout [UInt8]) -> String {
        var fields = headers.map { (name: $0.name.lowercased(), value: $0.value) }
        // Stable, so that the values of one name keep their order.
        fields.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        var names: [String] = []
        for (name, value) in fields {
            if names.last == name {
                out.append(UInt8(ascii: ","))
            } else {
                if !names.isEmpty { out.append(UInt8(ascii: "\n")) }
                names.append(name)
                out.append(contentsOf: name.utf8)
                out.append(UInt8(ascii: ":"))
            }
            appendTrimmed(value.utf8, to: &out)
        }
        out.append(UInt8(ascii: "\n"))
        return names.joined(separator: ";")
    }

    /// Without white space at both ends, and with one space for every run of it.
    private static func appendTrimmed(_ value: some Sequence<UInt8>, to out: inout [UInt8]) {
        var hasGap = false
        var isAtStart = true
        for byte in value {
            if byte == 0x20 || (0x09...0x0D).contains(byte) {
                hasGap = !isAtStart
            } else {
                if hasGap { out.append(0x20) }
                out.append(byte)
                hasGap = false
                isAtStart = false
            }
        }
    }

    /// Everything but RFC 3986's unreserved characters as `%XX`.
    private static func appendEncoded(_ bytes: some Sequence<UInt8>, to out: inout [UInt8]) {
        for byte in bytes {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E:
                out.append(byte)
            default:
                out.append(UInt8(ascii: "%"))
                out.append(upperDigit(byte >> 4))
                out.append(upperDigit(byte & 0xF))
            }
        }
    }

    private static func upperDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x37 + value }

    /// The bytes that `%XX` stand for; a `%` that begins no escape is itself.
    private static func decoded(_ text: some Sequence<UInt8>) -> [UInt8] {
        let text = Array(text)
        guard text.contains(UInt8(ascii: "%")) else { return text }
        var out: [UInt8] = []
        var at = 0
        while at < text.count {
            if text[at] == UInt8(ascii: "%"), at + 2 < text.count, let high = digit(text[at + 1]),
                let low = digit(text[at + 2])
            {
                out.append(high << 4 | low)
                at += 3
            } else {
                out.append(text[at])
                at += 1
            }
        }
        return out
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
