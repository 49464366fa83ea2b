import Domain
import HTTPMessages

/// Which of a caller's headers go upstream, by dialect; all others stay here.
enum CallerHeaders {
    /// A switch over lengths, because every header of every call comes by.
    static func isForwardedToAnthropic(_ name: UnsafeRawBufferPointer) -> Bool {
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

    static func isForwardedToOpenAI(_ name: UnsafeRawBufferPointer) -> Bool {
        let field = FieldBytes(raw: name)
        switch name.count {
        case 6: return field.equals("accept")
        // Which version of which program asks: newer models are not shown to older ones.
        case 7: return field.equals("version")
        case 9: return field.equals("thread-id")
        case 10:
            return field.equals("user-agent") || field.equals("tracestate") || field.equals("session_id")
                || field.equals("session-id") || field.equals("originator")
        case 11: return field.equals("traceparent") || field.equals("openai-beta")
        case 12: return field.equals("content-type")
        case 15: return field.equals("idempotency-key") || field.equals("conversation_id")
        default: return field.hasPrefix("x-stainless-")
        }
    }

    static func isForwardedToGoogle(_ name: UnsafeRawBufferPointer) -> Bool {
        let field = FieldBytes(raw: name)
        switch name.count {
        case 6: return field.equals("accept")
        case 10: return field.equals("user-agent") || field.equals("tracestate")
        case 11: return field.equals("traceparent")
        case 12: return field.equals("content-type")
        // How long the caller waits: Google's own limit is shorter than some answers take.
        case 16: return field.equals("x-server-timeout")
        case 17: return field.equals("x-goog-api-client")
        default: return false
        }
    }

    /// Of a caller who spoke another dialect.
    static func isForwardedInTranslation(_ name: UnsafeRawBufferPointer) -> Bool {
        let field = FieldBytes(raw: name)
        return switch name.count {
        case 10: field.equals("user-agent") || field.equals("tracestate")
        case 11: field.equals("traceparent")
        default: false
        }
    }
}

/// Puts together the head of an upstream request. It is made once a call, and never copied.
struct UpstreamHead: ~Copyable {
    private(set) var headers = HeaderFields()
    private let basePath: String

    /// - Parameter isForwarded: says which of the caller's headers go up; it is given lower-case names.
    init(to target: UpstreamTarget, _ caller: HeaderFields, forwarding isForwarded: (UnsafeRawBufferPointer) -> Bool) {
        basePath = target.basePath
        headers.reserve(bytes: caller.byteCount + 256, fields: caller.count + 6)
        headers.add("host", target.authority)
        caller.forEach { name, value in
            if isForwarded(name) { headers.add(name, value) }
        }
    }

    init(to target: UpstreamTarget, _ call: UpstreamCall, forwarding isForwarded: (UnsafeRawBufferPointer) -> Bool) {
        self.init(
            to: target,
            call.callerHeaders,
            forwarding: call.isTranslated ? CallerHeaders.isForwardedInTranslation : isForwarded
        )
    }

    mutating func add(_ name: String, _ value: String) { headers.add(name, value) }
    mutating func set(_ name: String, _ value: String) { headers.set(name, value) }
    mutating func remove(_ name: String) { headers.remove(name) }
    mutating func addIfMissing(_ name: String, _ value: String) {
        if !headers.contains(name) { headers.add(name, value) }
    }

    /// Leaves of the betas that the caller asks for what the policy admits; without rules they stay as they came.
    ///
    /// - Parameter further: one that is needed beside them; empty for none.
    /// - Throws: `GatewayError` for one that is blocked.
    mutating func setBetas(_ policy: BetaPolicy, for type: AccountType, adding further: String = "") throws {
        guard !further.isEmpty || (!policy.rules.isEmpty && headers.contains("anthropic-beta")) else { return }
        var betas = try policy.admitted(headers.values("anthropic-beta"), for: type)
        if !further.isEmpty, !betas.contains(further) { betas.append(further) }
        remove("anthropic-beta")
        if !betas.isEmpty { add("anthropic-beta", betas.joined(separator: ",")) }
    }

    /// - Parameters:
    ///   - path: behind the target's own.
    ///   - overrides: the account's; they win.
    consuming func finish(
        _ path: String,
        method: String = "POST",
        query: Substring = "",
        overrides: [String: String]
    ) -> HTTPRequestHead {
        addIfMissing("content-type", "application/json")
        headers.set("accept-encoding", "identity")
        for (name, value) in overrides { headers.set(name.lowercased(), value) }
        var pathAndQuery = basePath + path
        if !query.isEmpty { pathAndQuery += "?" + query }
        return HTTPRequestHead(method: method, target: pathAndQuery, headers: headers)
    }
}
