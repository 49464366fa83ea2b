import HTTPMessages

/// What a sign-in page gave the admin, however it was brought back. Pure.
package enum PastedCode: Hashable, Sendable {
    case code(String, state: String)
    /// The page sent the browser back with an error (RFC 6749, 4.1.2.1).
    case refused(String, state: String)

    package enum Fault: Error, Hashable, Sendable {
        /// The address has neither a code nor an error in it.
        case noCode
        case noState
    }

    private static let limit = 8000

    /// From the address that the browser was sent to, whole or from the `?` on; or from `code#state`, as some pages show
    /// it.
    package init(pasted: String) throws(Fault) {
        let text = pasted.trimmed
        guard text.utf8.count <= Self.limit else { throw .noCode }
        if let mark = text.firstIndex(of: "?") {
            // Some pages put a fragment behind it.
            let query = text[text.index(after: mark)...].prefix { $0 != "#" }
            let head = HTTPRequestHead(method: "GET", target: "/?" + query)
            try self.init(
                code: head.queryValue("code"),
                state: head.queryValue("state"),
                error: head.queryValue("error").map { error in
                    let description = head.queryValue("error_description") ?? ""
                    return description.isEmpty ? error : "\(error) (\(description))"
                }
            )
            return
        }
        let parts = text.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        try self.init(code: parts.first.map(String.init), state: parts.count > 1 ? String(parts[1]) : nil, error: nil)
    }

    /// - Parameter code: may be `code#state`, when the state is not given by itself.
    package init(code: String, state: String?) throws(Fault) {
        if let state, !code.contains("#") {
            try self.init(code: code.trimmed, state: state.trimmed, error: nil)
        } else {
            try self.init(pasted: code)
        }
    }

    private init(code: String?, state: String?, error: String?) throws(Fault) {
        guard let state, !state.isEmpty else { throw (code ?? error ?? "").isEmpty ? .noCode : .noState }
        if let error, !error.isEmpty {
            self = .refused(
                String(error.unicodeScalars.filter { !$0.isControl }.map { Character($0) }.prefix(300)),
                state: state
            )
        } else if let code, !code.isEmpty {
            self = .code(code, state: state)
        } else {
            throw .noCode
        }
    }

    package var state: String {
        switch self {
        case .code(_, let state), .refused(_, let state): state
        }
    }
}
