import Bytes
import HTTPMessages

/// What the lines of one head said, gathered line by line under rules stricter than the RFC's where leniency lets two
/// readers of one message disagree (RFC 9112, 11.2).
struct HeadLines: ~Copyable {
    let kind: HTTP1Parser.Kind
    /// Whether the request line or status line has been read.
    private(set) var hasStartLine = false
    private(set) var method = ""
    private(set) var target = ""
    private(set) var status = 0
    private(set) var isVersion10 = false
    private(set) var headers = HeaderFields()
    private(set) var contentLength: Int?
    private(set) var isChunked = false
    private(set) var expectsContinue = false
    private var hasHost = false
    /// The authority of an absolute-form target; empty without one.
    private var targetAuthority = ""

    init(_ kind: HTTP1Parser.Kind) { self.kind = kind }

    /// Takes one line without its CRLF.
    ///
    /// - Returns: whether it has a say in where messages end and whether another one follows.
    mutating func read(_ line: UnsafeRawBufferPointer) throws(HTTP1Error) -> Bool {
        if hasStartLine { return try readField(line) }
        switch kind {
        case .requests: try readRequestLine(line)
        case .responses: try readStatusLine(line)
        }
        hasStartLine = true
        headers.reserve(bytes: 512, fields: 16)
        return true
    }

    /// Checks what only the whole head shows.
    func validate() throws(HTTP1Error) {
        if isChunked, contentLength != nil { throw .malformed("content-length with transfer-encoding") }
        if isChunked, isVersion10 { throw .malformed("transfer-encoding on HTTP/1.0") }
        guard kind == .requests else { return }
        if !hasHost, !isVersion10 { throw .malformed("no host") }
        if !targetAuthority.isEmpty, hasHost, headers["host"]?.lowercased() != targetAuthority.lowercased() {
            throw .malformed("host differs from target")
        }
    }

    /// Whether this message never has a body, whatever its fields say (RFC 9112, 6.3).
    func hasNoBody(answersHead: Bool) -> Bool {
        kind == .responses && (answersHead || status < 200 || status == 204 || status == 304)
    }

    // MARK: Start lines

    private mutating func readRequestLine(_ line: UnsafeRawBufferPointer) throws(HTTP1Error) {
        guard let methodEnd = line.firstIndex(where: { !ByteClass.isToken($0) }), methodEnd > 0,
            line[methodEnd] == ByteClass.space
        else { throw .malformed("request line") }
        let rest = UnsafeRawBufferPointer(rebasing: line[(methodEnd + 1)...])
        guard let targetEnd = rest.firstIndex(where: { $0 &- 0x21 >= 0x5e || $0 == UInt8(ascii: "#") }), targetEnd > 0,
            rest[targetEnd] == ByteClass.space
        else { throw .malformed("request target") }
        try readVersion(UnsafeRawBufferPointer(rebasing: rest[(targetEnd + 1)...]))
        let name = UnsafeRawBufferPointer(rebasing: line[..<methodEnd])
        method = FieldBytes(raw: name).equals("POST") ? "POST" : FieldBytes(raw: name).string
        try readTarget(UnsafeRawBufferPointer(rebasing: rest[..<targetEnd]))
    }

    /// Brings the absolute form, which every server must accept (RFC 9112, 3.2.2), into origin form.
    private mutating func readTarget(_ raw: UnsafeRawBufferPointer) throws(HTTP1Error) {
        var path = raw
        if raw.first != UInt8(ascii: "/"), method != "CONNECT" {
            let schemeLength =
                Self.hasPrefix(raw, "http://") ? 7 : Self.hasPrefix(raw, "https://") ? 8 : 0
            if schemeLength > 0 {
                let rest = UnsafeRawBufferPointer(rebasing: raw[schemeLength...])
                let end =
                    rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.count
                guard end > 0, rest[..<end].allSatisfy(ByteClass.isAuthority) else {
                    throw .malformed("request target")
                }
                targetAuthority = String(decoding: rest[..<end], as: UTF8.self)
                path = UnsafeRawBufferPointer(rebasing: rest[end...])
                if path.first != UInt8(ascii: "/") {
                    target = "/" + String(decoding: path, as: UTF8.self)
                    return
                }
            } else if !(raw.count == 1 && raw.first == UInt8(ascii: "*")) {
                throw .malformed("request target")
            }
        }
        target = String(decoding: path, as: UTF8.self)
    }

    private mutating func readStatusLine(_ line: UnsafeRawBufferPointer) throws(HTTP1Error) {
        guard line.count >= 8 else { throw .malformed("status line") }
        try readVersion(UnsafeRawBufferPointer(rebasing: line[..<8]))
        guard line.count >= 12, line[8] == ByteClass.space else { throw .malformed("status line") }
        var code = 0
        for byte in line[9..<12] {
            guard let digit = Self.digit(byte) else { throw .malformed("status") }
            code = code * 10 + digit
        }
        guard code >= 100, line.count == 12 || line[12] == ByteClass.space, FieldRules.isValue(line) else {
            throw .malformed("status line")
        }
        status = code
    }

    private mutating func readVersion(_ text: UnsafeRawBufferPointer) throws(HTTP1Error) {
        guard text.count == 8, FieldBytes(raw: text).hasPrefix("HTTP/"), text[6] == UInt8(ascii: "."),
            let major = Self.digit(text[5]), let minor = Self.digit(text[7])
        else { throw .malformed("version") }
        guard major == 1, minor <= 1 else { throw .unsupportedVersion }
        isVersion10 = minor == 0
    }

    // MARK: Fields

    private mutating func readField(_ line: UnsafeRawBufferPointer) throws(HTTP1Error) -> Bool {
        let (name, value) = try Self.split(line)
        headers.add(name, value)
        switch name.count {
        case 4 where kind == .requests && Self.isEqual(name, "host"):
            guard !hasHost, value.allSatisfy(ByteClass.isAuthority) else { throw .malformed("host") }
            hasHost = true
        case 6 where kind == .requests && Self.isEqual(name, "expect"):
            // An HTTP/1.0 caller cannot mean it (RFC 9110, 10.1.1).
            expectsContinue = !isVersion10 && Self.isEqual(value, "100-continue")
        case 14 where Self.isEqual(name, "content-length"):
            guard contentLength == nil, let length = FieldBytes(raw: value).decimal else {
                throw .malformed("content-length")
            }
            contentLength = length
            return true
        case 17 where Self.isEqual(name, "transfer-encoding"):
            guard !isChunked, Self.isEqual(value, "chunked") else { throw .malformed("transfer-encoding") }
            isChunked = true
            return true
        case 7: return Self.isEqual(name, "upgrade")
        case 10: return Self.isEqual(name, "connection")
        case 16: return Self.isEqual(name, "proxy-connection")
        default: break
        }
        return false
    }

    /// Splits `name: value`, the value without the white space round it. Also the check of trailer lines.
    static func split(
        _ line: UnsafeRawBufferPointer
    ) throws(HTTP1Error) -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        let nameEnd = ByteClass.tokenLength(line)
        guard nameEnd > 0, nameEnd < line.count, line[nameEnd] == ByteClass.colon else {
            throw .malformed("field name")
        }
        var start = nameEnd + 1
        var end = line.count
        while start < end, isBlank(line[start]) { start += 1 }
        while end > start, isBlank(line[end - 1]) { end -= 1 }
        let value = UnsafeRawBufferPointer(rebasing: line[start..<end])
        guard FieldRules.isValue(value) else { throw .malformed("field value") }
        return (UnsafeRawBufferPointer(rebasing: line[..<nameEnd]), value)
    }

    // MARK: Bytes

    @inline(__always)
    private static func isBlank(_ byte: UInt8) -> Bool { byte == ByteClass.space || byte == ByteClass.tab }

    private static func digit(_ byte: UInt8) -> Int? { byte &- 0x30 < 10 ? Int(byte &- 0x30) : nil }

    /// Compares without regard to ASCII case; `lower` is in lower case and has only letters, digits and dashes.
    private static func isEqual(_ text: UnsafeRawBufferPointer, _ lower: StaticString) -> Bool {
        text.count == lower.utf8CodeUnitCount && hasPrefix(text, lower)
    }

    private static func hasPrefix(_ text: UnsafeRawBufferPointer, _ lower: StaticString) -> Bool {
        let count = lower.utf8CodeUnitCount
        guard text.count >= count else { return false }
        var index = 0
        while index + 8 <= count {
            let word = text.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let wanted = UnsafeRawPointer(lower.utf8Start).loadUnaligned(fromByteOffset: index, as: UInt64.self)
            if ASCIIWord.lowered(word) != wanted { return false }
            index += 8
        }
        while index < count {
            let byte = text[index]
            let lowered = byte &- 0x41 < 26 ? byte | 0x20 : byte
            if lowered != lower.utf8Start[index] { return false }
            index += 1
        }
        return true
    }
}
