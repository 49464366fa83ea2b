/// Where Redis is: `redis://user:password@host:port/db`, `rediss://` for TLS.
package struct RedisConfiguration: Sendable {
    package var host: String
    package var port: UInt16
    package var isTLS: Bool
    package var username: String?
    package var password: String?
    package var database: Int
    /// Extra trust anchors in PEM, for `rediss://`.
    package var authorityFile: String?
    /// A connection that answers nothing for this long while an answer is due is given up. A client that sends blocking
    /// commands (`XREADGROUP … BLOCK`) needs a longer one, and a connection of its own.
    package var commandTimeout = Duration.seconds(2)
    package var connectTimeout = Duration.seconds(2)
    /// What `CLIENT LIST` shows for the connection.
    package var clientName = "tollgate"

    /// Parses the URL: port 6379 and database 0 unless given; user, password and host percent-decoded (RFC 3986);
    /// IPv6 hosts in brackets.
    ///
    /// - Returns: nil when the text is not such a URL.
    package init?(url: String) {
        guard let scheme = url.firstRange(of: "://") else { return nil }
        switch url[..<scheme.lowerBound].lowercased() {
        case "redis": isTLS = false
        case "rediss": isTLS = true
        default: return nil
        }
        var rest = url[scheme.upperBound...]
        guard !rest.contains(where: { $0 == "?" || $0 == "#" || $0.isWhitespace }) else { return nil }

        database = 0
        if let slash = rest.firstIndex(of: "/") {
            let path = rest[rest.index(after: slash)...]
            rest = rest[..<slash]
            if !path.isEmpty {
                guard path.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = Int32(path) else { return nil }
                database = Int(number)
            }
        }

        username = nil
        password = nil
        if let at = rest.lastIndex(of: "@") {
            let user = rest[..<at]
            rest = rest[rest.index(after: at)...]
            guard !user.contains("@"), let colon = user.firstIndex(of: ":"),
                let name = Self.percentDecoded(user[..<colon]),
                let secret = Self.percentDecoded(user[user.index(after: colon)...]), !secret.isEmpty
            else { return nil }
            username = name.isEmpty ? nil : name
            password = secret
        }

        var portText: Substring?
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { return nil }
            host = String(rest[rest.index(after: rest.startIndex)..<end])
            let tail = rest[rest.index(after: end)...]
            guard host.contains(":"), tail.isEmpty || tail.hasPrefix(":") else { return nil }
            if !tail.isEmpty { portText = tail.dropFirst() }
        } else {
            let parts = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.percentDecoded(parts[0]) else { return nil }
            host = name
            if parts.count == 2 { portText = parts[1] }
        }
        port = 6379
        if let portText {
            guard let number = UInt16(portText), number > 0, !portText.hasPrefix("+") else { return nil }
            port = number
        }
        guard !host.isEmpty else { return nil }
    }

    private static func percentDecoded(_ text: Substring) -> String? {
        var decoded: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                decoded.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(hexDigit), let low = rest.popFirst().flatMap(hexDigit) else {
                return nil
            }
            decoded.append(high << 4 | low)
        }
        return String(validating: decoded, as: UTF8.self)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

/// Printing, `dump` and reflection show where Redis is and never the password.
extension RedisConfiguration: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String {
        let shownHost = host.contains(":") ? "[\(host)]" : host
        return "\(isTLS ? "rediss" : "redis")://\(shownHost):\(port)/\(database)"
    }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: ["address": description]) }
}
