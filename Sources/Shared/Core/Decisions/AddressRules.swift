import Glibc

/// IP addresses and CIDR ranges, v4 and v6 in one 16-byte form: IPv4 is v4-mapped (RFC 4291, 2.5.5.2), so a v4-mapped
/// v6 address counts as the v4 address it stands for.
package struct AddressRange: Hashable, Sendable {
    private let bytes: [UInt8]
    private let prefixLength: Int

    /// Parses `10.0.0.0/8`, `2001:db8::/32`, or a single address.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = parts.first, let parsed = IPAddress.parse(String(address)) else { return nil }
        bytes = parsed.bytes
        // A prefix counts in the notation it stands in: that of `::ffff:10.0.0.0/104` from the address's first bit.
        let offset = address.contains(":") ? 0 : 96
        guard parts.count == 2 else {
            prefixLength = 128
            return
        }
        guard parts[1].utf8.allSatisfy({ $0 &- 0x30 < 10 }), let length = Int(parts[1]), length <= 128 - offset else {
            return nil
        }
        prefixLength = length + offset
    }

    package func contains(_ address: [UInt8]) -> Bool {
        guard address.count == 16 else { return false }
        let whole = prefixLength / 8
        guard address[..<whole] == bytes[..<whole] else { return false }
        let rest = prefixLength % 8
        guard rest > 0 else { return true }
        let mask = UInt8(truncatingIfNeeded: 0xff00 >> rest)
        return address[whole] & mask == bytes[whole] & mask
    }
}

package enum IPAddress {
    /// The 16 bytes of a numeric address, and whether it is IPv4 (also in v4-mapped form).
    package static func parse(_ text: String) -> (bytes: [UInt8], isIPv4: Bool)? {
        let prefix = [UInt8](repeating: 0, count: 10) + [0xff, 0xff]
        var v4 = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 { return (prefix + withUnsafeBytes(of: v4) { Array($0) }, true) }
        var v6 = in6_addr()
        guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
        let bytes = withUnsafeBytes(of: v6) { Array($0) }
        return (bytes, bytes.starts(with: prefix))
    }
}

/// A key's IP rules: an empty whitelist admits all, the blacklist wins.
package struct AddressRules: Hashable, Sendable {
    private let whitelist: [AddressRange]
    private let blacklist: [AddressRange]
    /// A rule that cannot be read admits nobody rather than everybody.
    private let isBroken: Bool

    package init(whitelist: [String], blacklist: [String]) {
        self.whitelist = whitelist.compactMap { AddressRange($0) }
        self.blacklist = blacklist.compactMap { AddressRange($0) }
        isBroken = self.whitelist.count != whitelist.count || self.blacklist.count != blacklist.count
    }

    package func admits(_ address: [UInt8]) -> Bool {
        if isBroken || blacklist.contains(where: { $0.contains(address) }) { return false }
        return whitelist.isEmpty || whitelist.contains { $0.contains(address) }
    }
}

/// Who the caller is, behind proxies.
package enum ClientAddress {
    /// The rightmost address of `X-Forwarded-For` that is not a trusted proxy; the peer itself when it is not trusted.
    ///
    /// Each trusted proxy appends whom it saw, so everything left of the first untrusted address is hearsay.
    package static func resolve(peer: [UInt8], forwardedFor: [String], trusted: [AddressRange]) -> [UInt8] {
        guard !trusted.isEmpty else { return peer }
        func isTrusted(_ address: [UInt8]) -> Bool { trusted.contains { $0.contains(address) } }
        var client = peer
        let chain = forwardedFor.flatMap { $0.split(separator: ",") }
        for entry in chain.reversed() {
            guard isTrusted(client) else { return client }
            let text = entry.drop { $0 == " " || $0 == "\t" }.split(separator: " ").first.map(String.init) ?? ""
            guard let address = IPAddress.parse(text) else { return client }
            client = address.bytes
        }
        return client
    }
}
