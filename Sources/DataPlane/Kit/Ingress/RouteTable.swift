package import Domain
package import HTTPMessages

/// What a caller can ask for.
package enum Operation: Sendable, Equatable {
    /// A call to a model.
    case call(CallRoute)
    case models(ModelListRoute)
    /// An earlier answer of the Responses API, by its id.
    case response(String)
    case usage
    case live
    case ready
    case metrics
}

/// A question for models: all, or the one that the path names.
package struct ModelListRoute: Sendable, Equatable {
    package var name: String?
    /// In Gemini's shape; else the caller's headers tell.
    package var isGemini: Bool
    package var isAntigravity: Bool

    package init(_ name: String? = nil, isGemini: Bool = false, isAntigravity: Bool = false) {
        self.name = name
        self.isGemini = isGemini
        self.isAntigravity = isAntigravity
    }
}

package enum RouteMatch: Sendable, Equatable {
    case found(Operation)
    /// The path exists, with these methods.
    case wrongMethod(allowed: String)
    case notFound
}

/// Paths and methods of the gateway API.
package enum RouteTable {
    private static let antigravity = "/antigravity"
    private static let geminiModels = "/v1beta/models"

    package static func match(method: String, path: Substring) -> RouteMatch {
        switch path {
        case "/v1/messages": only("POST", method, .call(CallRoute(.anthropic)))
        case "/v1/messages/count_tokens": only("POST", method, .call(CallRoute(.anthropic, .countTokens)))
        case "/v1/chat/completions": only("POST", method, .call(CallRoute(.openaiChat)))
        case "/v1/responses": only("POST", method, .call(CallRoute(.openaiResponses)))
        case "/v1/embeddings": only("POST", method, .call(CallRoute(.openaiChat, .embed)))
        case "/v1/models": only("GET", method, .models(ModelListRoute()))
        case "/v1/usage": only("GET", method, .usage)
        case "/health/live": only("GET", method, .live)
        case "/health/ready": only("GET", method, .ready)
        case "/metrics": only("GET", method, .metrics)
        default: matchNames(method, path)
        }
    }

    /// Paths with a name in them, and those below `/antigravity`.
    private static func matchNames(_ method: String, _ path: Substring) -> RouteMatch {
        if let name = rest(of: path, after: "/v1/models/") {
            // The newer packages of Google leave the `beta` out.
            if method == "POST", case .found(let call) = matchGemini(method, name, isAntigravity: false) {
                return .found(call)
            }
            return only("GET", method, .models(ModelListRoute(PercentCoding.decode(name))))
        }
        if let id = rest(of: path, after: "/v1/responses/"), !id.utf8.contains(UInt8(ascii: "/")) {
            return only("GET", method, .response(PercentCoding.decode(id)))
        }
        if path == geminiModels { return only("GET", method, .models(ModelListRoute(isGemini: true))) }
        if let name = rest(of: path, after: "/v1beta/models/") {
            return matchGemini(method, name, isAntigravity: false)
        }
        guard let inner = rest(of: path, after: antigravity).map({ Substring($0) }), inner.hasPrefix("/v1") else {
            return .notFound
        }
        switch inner {
        case "/v1/messages": return only("POST", method, .call(CallRoute(.anthropic, isAntigravity: true)))
        case "/v1/messages/count_tokens":
            return only("POST", method, .call(CallRoute(.anthropic, .countTokens, isAntigravity: true)))
        case "/v1/models": return only("GET", method, .models(ModelListRoute(isAntigravity: true)))
        case "/v1beta/models":
            return only("GET", method, .models(ModelListRoute(isGemini: true, isAntigravity: true)))
        default:
            let name = rest(of: inner, after: "/v1beta/models/") ?? rest(of: inner, after: "/v1/models/")
            return name.map { matchGemini(method, $0, isAntigravity: true) } ?? .notFound
        }
    }

    /// `gemini-2.5-pro:generateContent`, or a model alone.
    private static func matchGemini(_ method: String, _ name: String, isAntigravity: Bool) -> RouteMatch {
        guard let colon = name.lastIndex(of: ":") else {
            let route = ModelListRoute(PercentCoding.decode(name), isGemini: true, isAntigravity: isAntigravity)
            return only("GET", method, .models(route))
        }
        let model = PercentCoding.decode(name[..<colon])
        guard !model.isEmpty else { return .notFound }
        func call(_ action: CallRoute.Action, isStream: Bool = false) -> RouteMatch {
            let route = CallRoute(
                .gemini,
                action,
                model: model,
                isStream: isStream,
                isAntigravity: isAntigravity
            )
            return only("POST", method, .call(route))
        }
        return switch name[name.index(after: colon)...] {
        case "generateContent": call(.generate)
        case "streamGenerateContent": call(.generate, isStream: true)
        case "countTokens": call(.countTokens)
        default: .notFound
        }
    }

    /// What follows the prefix; nil when nothing does.
    private static func rest(of path: Substring, after prefix: String) -> String? {
        // Whole characters: a combining mark behind the slash would belong to it.
        guard path.utf8.count > prefix.utf8.count, path.hasPrefix(prefix) else { return nil }
        return String(decoding: path.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
    }

    private static func only(_ allowed: String, _ method: String, _ operation: Operation) -> RouteMatch {
        if method == allowed || (method == "HEAD" && allowed == "GET") { return .found(operation) }
        return .wrongMethod(allowed: allowed == "GET" ? "GET, HEAD, OPTIONS" : "POST, OPTIONS")
    }

    /// The dialect in which errors of a path are told, whether it exists or not.
    package static func dialect(of request: HTTPRequestHead) -> Dialect {
        var path = request.path
        if path.hasPrefix(antigravity) { path = path.dropFirst(antigravity.count) }
        if path.hasPrefix("/v1beta") { return .gemini }
        let isCall = request.method == "POST" && path.utf8.contains(UInt8(ascii: ":"))
        if path.hasPrefix("/v1/models"), isCall || ModelLists.isGemini(request.headers) { return .gemini }
        if path.hasPrefix("/v1/responses") { return .openaiResponses }
        if path.hasPrefix("/v1/chat/") || path.hasPrefix("/v1/embeddings") { return .openaiChat }
        // Those of OpenAI present a bearer, and nothing of Anthropic's.
        if path.hasPrefix("/v1/models"), request.headers.contains("authorization"),
            !ModelLists.isAnthropic(request.headers)
        {
            return .openaiChat
        }
        return .anthropic
    }
}
