package enum RedisError: Error, Hashable {
    /// No connection now, or too much is queued on it; the command was not sent.
    case unavailable
    /// Sent, but the connection broke before the answer: it may or may not have run.
    case connectionLost
    /// Sent, but no answer came in time and the connection was given up: it may or may not have run.
    case timedOut
    /// Redis said no; its text, for logs.
    case server(String)
    case unexpectedAnswer
}

extension RedisError {
    /// The first word of the server's text, `WRONGTYPE` or `ERR`, by which Redis tells its errors apart.
    package var serverCode: Substring? {
        guard case .server(let text) = self else { return nil }
        return text.prefix { $0 != " " }
    }

    /// Whether the same command may well succeed later, with nothing changed by us: no connection, or a server that is
    /// loading, failing over, full or moving its slots.
    package var isTransient: Bool {
        switch self {
        case .unavailable, .connectionLost, .timedOut: return true
        case .unexpectedAnswer: return false
        case .server: break
        }
        return switch serverCode {
        case "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "BUSY", "OOM",
            "NOREPLICAS", "MISCONF":
            true
        default: false
        }
    }
}
