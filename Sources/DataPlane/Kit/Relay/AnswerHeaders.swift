package import HTTPMessages

/// What of an upstream's answer head reaches the caller.
package enum AnswerHeaders {
    /// Drops what belongs to the connection, what would give the account away, and what the gateway says itself.
    package static func forCaller(_ upstream: HeaderFields, requestID: String) -> HeaderFields {
        let connection = upstream["connection"]?.lowercased() ?? ""
        let named = connection.split(separator: ",").map { String($0.filter { $0 != " " }) }
        var headers = upstream.filter { name, _ in
            !isDropped(name) && !(named.count > 0 && named.contains { name.equals($0) })
        }
        headers.add("x-request-id", requestID)
        return headers
    }

    private static func isDropped(_ name: FieldBytes) -> Bool {
        switch name.raw.count {
        case 2: return name.equals("te")
        case 4: return name.equals("date")
        case 6: return name.equals("server") || name.equals("cf-ray")
        case 7: return name.equals("trailer") || name.equals("upgrade") || name.equals("alt-svc")
        case 10: return name.equals("connection") || name.equals("keep-alive") || name.equals("set-cookie")
        case 12: return name.equals("x-request-id") || name.equals("x-robots-tag")
        case 14: return name.equals("content-length")
        case 15: return name.equals("cf-cache-status")
        case 16: return name.equals("proxy-connection") || name.equals("content-encoding")
        case 17: return name.equals("transfer-encoding")
        case 18: return name.equals("proxy-authenticate")
        case 19: return name.equals("openai-organization")
        // Says something of the upstream's host, which the caller's browser would take for ours.
        case 25: return name.equals("strict-transport-security") || name.hasPrefix("anthropic-organization-id")
        default:
            return name.hasPrefix("anthropic-ratelimit-") || name.hasPrefix("anthropic-organization-id")
                || name.hasPrefix("x-ratelimit-") || name.hasPrefix("x-codex-") || name.hasPrefix("x-tollgate-")
        }
    }
}
