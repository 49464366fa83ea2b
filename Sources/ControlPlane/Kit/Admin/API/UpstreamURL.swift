import Decisions
import Glibc

/// What URLs and hosts an admin may enter: http(s), and never the addresses behind which clouds keep their secrets.
///
/// This is the form's part of the guard: what a name resolves to is looked at by whoever connects.
package enum UpstreamURL {
    /// What is wrong with a URL, or nil.
    package static func fault(in text: String) -> String? {
        let lowered = text.lowercased()
        let rest: Substring
        if lowered.hasPrefix("https://") {
            rest = text.dropFirst(8)
        } else if lowered.hasPrefix("http://") {
            rest = text.dropFirst(7)
        } else {
            return "must be a URL that starts with https:// or http://"
        }
        guard text.utf8.count <= 2000, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }), !text.contains("\\") else {
            return "must be a URL of at most 2000 printable ASCII characters"
        }
        guard !text.contains("#"), !text.contains("?") else { return "must not have a query or a fragment" }
        let authority = rest.prefix { $0 != "/" }
        guard !authority.contains("@") else { return "must not have a user or password in it" }

        let host: Substring
        let port: Substring?
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return "must name a host" }
            host = authority[authority.index(after: authority.startIndex)..<end]
            let after = authority[authority.index(after: end)...]
            guard after.isEmpty || after.hasPrefix(":") else { return "must name a host" }
            port = after.isEmpty ? nil : after.dropFirst()
            guard IPAddress.parse(String(host)) != nil else { return "must name a host" }
        } else {
            let parts = authority.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            host = parts[0]
            port = parts.count > 1 ? parts[1] : nil
        }
        if let port {
            guard port.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let number = Int(port), (1...65_535).contains(number)
            else {
                return "must have a port from 1 to 65535"
            }
        }
        return hostFault(in: String(host))
    }

    /// What is wrong with a host name or address, or nil.
    package static func hostFault(in host: String) -> String? {
        var name = host.lowercased()
        while name.hasSuffix(".") { name.removeLast() }
        guard !name.isEmpty, name.utf8.count <= 253 else { return "must name a host" }
        if metadataNames.contains(name) { return refusal }
        if let address = address(name) { return ForbiddenAddresses.contains(address) ? refusal : nil }
        // A resolver may take other notations for a number than ours does; no real name ends in one.
        let last = name.split(separator: ".").last ?? ""
        guard !last.utf8.allSatisfy({ $0 &- 0x30 < 10 }), !last.hasPrefix("0x") else { return "must name a host" }
        let isName = name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
                && label.utf8.allSatisfy { byte in
                    (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2d || byte == 0x5f
                }
        }
        return isName ? nil : "must name a host"
    }

    private static let refusal = "must not be a link-local or cloud metadata address"

    private static let metadataNames: Set<String> = [
        "metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal",
    ]

    /// The 16 bytes of a numeric host in any notation that resolvers take: `169.254.1.1`, `0xa9fe0101`, `2851995905`.
    private static func address(_ host: String) -> [UInt8]? {
        let unscoped = String(host.prefix { $0 != "%" })
        if let parsed = IPAddress.parse(unscoped) { return parsed.bytes }
        var v4 = in_addr()
        guard inet_aton(host, &v4) != 0 else { return nil }
        return [UInt8](repeating: 0, count: 10) + [0xff, 0xff] + withUnsafeBytes(of: v4) { Array($0) }
    }
}
