package import Domain
package import Formats

/// Finds out which conversation a call belongs to: what the caller names it, else what it has marked for caching, else
/// what was said.
package enum SessionReader {
    /// - Returns: nil where there is nothing to tell one conversation from another by.
    package static func session(of request: JSONOutline, _ route: CallRoute, _ scope: SessionScope) -> CallSession? {
        guard route.action == .generate else { return nil }
        if let stated = scope.stated { return .named(stated.withUnsafeBytes { scope.session(named: $0) }) }
        if let name = name(in: request.root, route.dialect, scope) { return .named(name) }
        return TurnReader.session(in: request.root, route.dialect, scope)
    }

    private static func name(in root: JSONSourceValue, _ dialect: Dialect, _ scope: SessionScope) -> SessionName? {
        switch dialect {
        case .anthropic:
            guard var id = root.uniqueMember("metadata").value?["user_id"]?.string else { return nil }
            return id.withUTF8 { id in
                SessionID.read(in: UnsafeRawBufferPointer(id)) { scope.session(named: $0) }
            }
        case .openaiChat, .openaiResponses:
            guard var key = root.uniqueMember("prompt_cache_key").value?.string else { return nil }
            return key.withUTF8 { key in
                let key = UnsafeRawBufferPointer(key)
                return SessionID.isUsable(key) ? scope.session(named: key) : nil
            }
        case .gemini: return nil
        }
    }
}
