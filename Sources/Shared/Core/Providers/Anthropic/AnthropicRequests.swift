package import HTTPMessages

/// Requests to the Anthropic API.
package enum AnthropicRequests {
    package static let defaultBaseURL = "https://api.anthropic.com"
    private static let defaultVersion = "2023-06-01"

    /// The head of a request for an account with an API key.
    ///
    /// - Parameters:
    ///   - path: the API's own path, `/v1/messages`.
    ///   - query: the caller's query, undecoded.
    package static func head(
        _ path: String,
        query: Substring,
        caller: HeaderFields,
        target: UpstreamTarget,
        apiKey: String,
        overrides: [String: String]
    ) -> HTTPRequestHead {
        var headers = HeaderFields()
        headers.reserve(bytes: caller.byteCount + 256, fields: caller.count + 6)
        headers.add("host", target.authority)
        caller.forEach { name, value in
            if isForwarded(name) { headers.add(name, value) }
        }
        if !headers.contains("anthropic-version") { headers.add("anthropic-version", defaultVersion) }
        if !headers.contains("content-type") { headers.add("content-type", "application/json") }
        headers.add("accept-encoding", "identity")
        headers.add("x-api-key", apiKey)
        for (name, value) in overrides { headers.set(name.lowercased(), value) }
        var pathAndQuery = target.basePath + path
        if !query.isEmpty { pathAndQuery += "?" + query }
        return HTTPRequestHead(method: "POST", target: pathAndQuery, headers: headers)
    }

    /// The caller's headers that go upstream; all others stay here. A switch over lengths, because every header of
    /// every call comes by.
    private static func isForwarded(_ name: UnsafeRawBufferPointer) -> Bool {
        let field = FieldBytes(raw: name)
        switch name.count {
        case 6: return field.equals("accept")
        case 10: return field.equals("user-agent") || field.equals("tracestate")
        case 11: return field.equals("traceparent")
        case 12: return field.equals("content-type")
        case 14: return field.equals("anthropic-beta")
        case 15: return field.equals("idempotency-key")
        case 17: return field.equals("anthropic-version")
        // How the official packages describe themselves.
        default: return field.hasPrefix("x-stainless-")
        }
    }
}
