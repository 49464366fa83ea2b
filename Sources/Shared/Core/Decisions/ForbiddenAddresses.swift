/// Addresses to which nothing that an admin enters may lead: link-local ones, behind which clouds keep their secrets, and
/// the metadata services elsewhere.
package enum ForbiddenAddresses {
    private static let ranges: [AddressRange] = [
        "169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128",
        // The metadata services of Alibaba and Oracle; IPv6 forms that carry 169.254.0.0/16 (6to4, NAT64, compatible).
        "100.100.100.200/32", "192.0.0.192/32", "2002:a9fe::/32", "64:ff9b::a9fe:0/112", "::a9fe:0/112",
        "fd20:ce::254/128", "0.0.0.0/32", "::/128",
    ].compactMap { AddressRange($0) }

    /// - Parameter address: 16 bytes, IPv4 in its v4-mapped form.
    package static func contains(_ address: [UInt8]) -> Bool { ranges.contains { $0.contains(address) } }
}
