/// Which of the beta features that callers ask for (`anthropic-beta`) reach an upstream (setting `beta-policy`).
package struct BetaPolicy: Hashable, Sendable {
    package enum Action: String, Sendable, CaseIterable {
        case pass
        /// The token is left out.
        case filter
        /// The call is refused.
        case block
    }
    /// The accounts that a rule is for.
    package enum Scope: String, Sendable, CaseIterable {
        case all
        /// Logins and setup tokens.
        case oauth
        case apikey
        case bedrock
    }
    package struct Rule: Hashable, Sendable {
        /// Compared as it stands; a `*` at its end stands for any rest.
        package var token: String
        package var action: Action
        package var scope: Scope
        /// What a caller whose call is refused is told; empty for the standard text.
        package var message: String

        package init(token: String, action: Action, scope: Scope = .all, message: String = "") {
            self.token = token
            self.action = action
            self.scope = scope
            self.message = message
        }

        func matches(_ text: Substring) -> Bool {
            token.hasSuffix("*") ? text.hasPrefix(token.dropLast()) : text == token
        }
    }

    /// The first that matches counts; what no rule matches passes.
    package var rules: [Rule]

    package init(_ rules: [Rule] = []) { self.rules = rules }

    /// The tokens of a caller's headers that may go to an account of this type, each once.
    ///
    /// - Throws: `GatewayError.invalidRequest` for one that is blocked.
    package func admitted(_ headers: [String], for type: AccountType) throws(GatewayError) -> [String] {
        let scope: Scope =
            switch type {
            case .oauth, .setupToken: .oauth
            case .apikey: .apikey
            case .bedrock: .bedrock
            }
        var admitted: [String] = []
        var seen: Set<Substring> = []
        for header in headers {
            for part in header.split(separator: ",") {
                let token = part.drop { $0 == " " || $0 == "\t" }
                let trimmed = token.prefix { $0 != " " && $0 != "\t" }
                guard !trimmed.isEmpty, seen.insert(trimmed).inserted else { continue }
                let rule = rules.first { ($0.scope == .all || $0.scope == scope) && $0.matches(trimmed) }
                switch rule?.action {
                case .pass, nil: admitted.append(String(trimmed))
                case .filter: continue
                case .block:
                    let message = rule?.message ?? ""
                    throw GatewayError(
                        .invalidRequest,
                        message.isEmpty ? "anthropic-beta: \(trimmed) is not allowed here" : message,
                        field: "anthropic-beta"
                    )
                }
            }
        }
        return admitted
    }
}
