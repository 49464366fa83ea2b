package import HTTPMessages

/// What of an upstream's answer head reaches the caller.
package enum AnswerHeaders {
    /// Drops what belongs to the connection, what would give the account away, and what the gateway says itself.
    package static func forCaller(_ upstream: HeaderFields, requestID: String) -> HeaderFields {
        let named = connectionOptions(upstream)
        var headers = upstream.filter(leavingRoomFor: 1) { name, _ in
            !isDropped(name) && !(named.count > 0 && named.contains { name.equals($0) })
        }
        headers.add("x-request-id", requestID)
        return headers
    }

    /// More than any connection has: each field is compared with each.
    private static let mostConnectionOptions = 32

    /// The fields that `Connection` names, in lower case: they belong to the connection (RFC 9110, 7.6.1).
    private static func connectionOptions(_ headers: HeaderFields) -> ArraySlice<String> {
        guard headers.contains("connection") else { return [] }
        return headers.values("connection").flatMap { value in
            value.lowercased().split { $0 == "," || $0 == " " || $0 == "\t" }.map(String.init)
        }.prefix(mostConnectionOptions)
    }

    private static func isDropped(_ name: FieldBytes) -> Bool { isDroppedByName(name) || isDroppedByFamily(name) }

    private static func isDroppedByName(_ name: FieldBytes) -> Bool {
        switch name.raw.count {
        case 2: return name.equals("te")
        case 3: return name.equals("via") || name.equals("nel")
        case 4: return name.equals("date") || name.equals("link")
        case 6: return name.equals("server") || name.equals("cf-ray")
        case 7: return name.equals("trailer") || name.equals("upgrade") || name.equals("alt-svc")
        // Addresses at the upstream's host.
        case 8: return name.equals("alt-used") || name.equals("location")
        case 9: return name.equals("report-to")
        case 10: return name.equals("connection") || name.equals("keep-alive") || name.equals("set-cookie")
        case 11: return name.equals("x-served-by")
        case 12: return name.equals("x-request-id") || name.equals("x-robots-tag")
        case 13: return name.equals("server-timing")
        case 14: return name.equals("content-length") || name.equals("openai-project")
        case 15: return name.equals("cf-cache-status") || name.equals("apim-request-id")
        case 16:
            return name.equals("content-location") || name.equals("proxy-connection") || name.equals("content-encoding")
                || name.equals("www-authenticate")
        case 17: return name.equals("transfer-encoding")
        case 18: return name.equals("proxy-authenticate")
        case 19:
            return name.equals("openai-organization") || name.equals("authentication-info")
                || name.equals("reporting-endpoints")
        // Says something of the upstream's host, which the caller's browser would take for ours.
        case 25:
            return name.equals("strict-transport-security") || name.equals("proxy-authentication-info")
        default: return false
        }
    }

    /// Whole families of names, whatever their length.
    private static func isDroppedByFamily(_ name: FieldBytes) -> Bool {
        switch name.raw.first {
        case UInt8(ascii: "a"):
            // Whose account it is, and what is left of its limits; and the upstream's CORS policy, where ours holds.
            name.hasPrefix("anthropic-ratelimit-") || name.hasPrefix("anthropic-organization-")
                || name.hasPrefix("anthropic-workspace-") || name.hasPrefix("anthropic-priority-")
                || name.hasPrefix("anthropic-fast-") || name.hasPrefix("access-control-")
        case UInt8(ascii: "x"):
            name.hasPrefix("x-ratelimit-") || name.hasPrefix("x-codex-") || name.hasPrefix("x-tollgate-")
                || name.hasPrefix("x-envoy-") || name.hasPrefix("x-amzn-") || name.hasPrefix("x-amz-")
                || name.hasPrefix("x-ms-")
        default: false
        }
    }
}
