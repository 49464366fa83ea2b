/// What a caller can ask for.
package enum Operation: Sendable, Equatable {
    case messages
    case countTokens
    case models
    case model(String)
    case usage
    case live
    case ready
    case metrics
}

package enum RouteMatch: Sendable, Equatable {
    case found(Operation)
    /// The path exists, with these methods.
    case wrongMethod(allowed: String)
    case notFound
}

/// Paths and methods of the gateway API.
package enum RouteTable {
    package static func match(method: String, path: Substring) -> RouteMatch {
        switch path {
        case "/v1/messages": only("POST", method, .messages)
        case "/v1/messages/count_tokens": only("POST", method, .countTokens)
        case "/v1/models": only("GET", method, .models)
        case "/v1/usage": only("GET", method, .usage)
        case "/health/live": only("GET", method, .live)
        case "/health/ready": only("GET", method, .ready)
        case "/metrics": only("GET", method, .metrics)
        default:
            if path.hasPrefix("/v1/models/"), path.utf8.count > "/v1/models/".utf8.count {
                only("GET", method, .model(String(path.dropFirst("/v1/models/".count))))
            } else {
                .notFound
            }
        }
    }

    private static func only(_ allowed: String, _ method: String, _ operation: Operation) -> RouteMatch {
        if method == allowed || (method == "HEAD" && allowed == "GET") { return .found(operation) }
        return .wrongMethod(allowed: allowed == "GET" ? "GET, HEAD, OPTIONS" : "POST, OPTIONS")
    }
}
