import Bytes
package import CUV

/// An IPv4 or IPv6 address with a port.
package struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// The 16 bytes of the address; IPv4 stands in its v4-mapped form (RFC 4291, 2.5.5.2).
    package let bytes: [UInt8]
    package let port: UInt16
    package let isIPv4: Bool
    private let scope: UInt32
    /// The address without its port, `127.0.0.1` or `::1`.
    package private(set) var ip = ""

    /// Parses a numeric address, `127.0.0.1` or `::1`. Host names are resolved by `EventLoop.resolve`.
    package init?(ip: String, port: UInt16) {
        var v4 = sockaddr_in()
        var v6 = sockaddr_in6()
        if uv_ip4_addr(ip, Int32(port), &v4) == 0 {
            self = withUnsafePointer(to: &v4) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { SocketAddress($0) }
            }
        } else if uv_ip6_addr(ip, Int32(port), &v6) == 0 {
            self = withUnsafePointer(to: &v6) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { SocketAddress($0) }
            }
        } else {
            return nil
        }
    }

    /// Parses `host:port` with a numeric host, `[::1]:80` for IPv6.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        self.init(ip: String(host), port: port)
    }

    /// - Parameter bytes: the 16 bytes of an address, IPv4 in its v4-mapped form; anything else gives nil.
    package init?(bytes: [UInt8], port: UInt16) {
        guard bytes.count == 16 else { return nil }
        self.bytes = bytes
        self.port = port
        isIPv4 = bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
        scope = 0
        ip = isIPv4 ? dotted : colonSeparated
    }

    package init(_ address: UnsafePointer<sockaddr>) {
        let raw = UnsafeRawPointer(address)
        if Int32(address.pointee.sa_family) == AF_INET6 {
            let v6 = raw.assumingMemoryBound(to: sockaddr_in6.self).pointee
            bytes = withUnsafeBytes(of: v6.sin6_addr) { Array($0) }
            port = UInt16(bigEndian: v6.sin6_port)
            scope = v6.sin6_scope_id
            isIPv4 = false
        } else {
            let v4 = raw.assumingMemoryBound(to: sockaddr_in.self).pointee
            bytes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] + withUnsafeBytes(of: v4.sin_addr) { Array($0) }
            port = UInt16(bigEndian: v4.sin_port)
            scope = 0
            isIPv4 = true
        }
        ip = isIPv4 ? dotted : colonSeparated
    }

    package func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>) -> Result) -> Result {
        if isIPv4 {
            var v4 = sockaddr_in()
            v4.sin_family = sa_family_t(AF_INET)
            v4.sin_port = port.bigEndian
            withUnsafeMutableBytes(of: &v4.sin_addr) { $0.copyBytes(from: bytes.suffix(4)) }
            return withUnsafePointer(to: &v4) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0) } }
        }
        var v6 = sockaddr_in6()
        v6.sin6_family = sa_family_t(AF_INET6)
        v6.sin6_port = port.bigEndian
        v6.sin6_scope_id = scope
        withUnsafeMutableBytes(of: &v6.sin6_addr) { $0.copyBytes(from: bytes) }
        return withUnsafePointer(to: &v6) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0) } }
    }

    private var dotted: String {
        String(unsafeUninitializedCapacity: 16) { text in
            var cursor = ByteCursor(text)
            for (index, byte) in bytes.suffix(4).enumerated() {
                if index > 0 { cursor.write(UInt8(ascii: ".")) }
                cursor.write(decimal: Int64(byte))
            }
            return cursor.count
        }
    }

    private var colonSeparated: String {
        withSockaddr { address in
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
                guard let start = text.baseAddress, uv_ip_name(address, start, 64) == 0 else { return "?" }
                return String(cString: start)
            }
        }
    }

    /// Whether it stays on this machine: 127.0.0.0/8 and ::1.
    package var isLoopback: Bool {
        isIPv4 ? bytes[12] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
    }

    package var description: String { isIPv4 ? "\(ip):\(port)" : "[\(ip)]:\(port)" }
}
