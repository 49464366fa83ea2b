package import Domain
package import Formats

/// Finds out which conversation a call belongs to: what the caller names it, else what it has marked for caching, else
/// what was said.
package enum SessionReader {
    /// - Parameters:
    ///   - body: a valid document, as `summary` was read from it.
    /// - Returns: nil where there is nothing to tell one conversation from another by.
    package static func session(
        of body: [UInt8],
        _ summary: CallSummary,
        _ route: CallRoute,
        _ scope: SessionScope,
        _ parser: JSONParser
    ) -> CallSession? {
        guard route.action == .generate else { return nil }
        if let stated = scope.stated { return .named(stated.withUnsafeBytes { scope.session(named: $0) }) }
        if let range = summary.sessionRange, let name = name(in: body[range], route.dialect, scope, parser) {
            return .named(name)
        }
        let session: CallSession?? = try? parser.outline(body) { outline in
            TurnReader.session(in: outline.root, route.dialect, scope)
        }
        return session ?? nil
    }

    private static func name(
        in value: ArraySlice<UInt8>,
        _ dialect: Dialect,
        _ scope: SessionScope,
        _ parser: JSONParser
    ) -> SessionName? {
        let name: SessionName?? = try? parser.parse(value) { document in
            guard dialect == .anthropic else {
                return document.root.stringBytes.flatMap { SessionID.isUsable($0) ? scope.session(named: $0) : nil }
            }
            return document.root["user_id"]?.stringBytes.flatMap { userID in
                SessionID.read(in: userID) { scope.session(named: $0) }
            }
        }
        return name ?? nil
    }
}
