/// Where an account's calls go: its base URL, taken apart once.
package struct UpstreamTarget: Hashable, Sendable {
    package let isTLS: Bool
    package let host: String
    package let port: UInt16
    /// The URL's path without a slash at its end; empty for the root.
    package private(set) var basePath: String
    /// What `Host` or `:authority` says: the port is left out where it is the scheme's own.
    package let authority: String

    /// Parses an http(s) URL; nil for anything else, and for user info, queries and fragments.
    package init?(baseURL: String) {
        let isTLS: Bool
        let rest: Substring
        if baseURL.lowercased().hasPrefix("https://") {
            (isTLS, rest) = (true, baseURL.dropFirst(8))
        } else if baseURL.lowercased().hasPrefix("http://") {
            (isTLS, rest) = (false, baseURL.dropFirst(7))
        } else {
            return nil
        }
        let end = rest.firstIndex(of: "/") ?? rest.endIndex
        var path = rest[end...]
        while path.last == "/" { path = path.dropLast() }
        let authority = rest[..<end]
        guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }), !path.contains("?"), !path.contains("#"),
            !authority.contains("@"), !authority.contains("?"), !authority.contains("#")
        else { return nil }
        var host = authority
        var port: UInt16 = isTLS ? 443 : 80
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            guard let number = UInt16(authority[authority.index(after: colon)...]), number > 0 else { return nil }
            port = number
            host = authority[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\\") }) else {
            return nil
        }
        self.isTLS = isTLS
        self.host = String(host)
        self.port = port
        self.basePath = String(path)
        let shownHost = host.contains(":") ? "[\(host)]" : String(host)
        self.authority = port == (isTLS ? 443 : 80) ? shownHost : "\(shownHost):\(port)"
    }

    /// The same target without this end of its path, for URLs that may be written with or without it.
    func without(suffix: String) -> UpstreamTarget {
        guard !suffix.isEmpty, basePath.hasSuffix(suffix) else { return self }
        var target = self
        target.basePath = String(basePath.dropLast(suffix.count))
        return target
    }

    /// The same target with the path ended by this, once.
    func with(suffix: String) -> UpstreamTarget {
        guard !basePath.hasSuffix(suffix) else { return self }
        var target = self
        target.basePath += suffix
        return target
    }
}
