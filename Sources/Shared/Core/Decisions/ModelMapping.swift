/// An account's model mapping: requested name → upstream name, `*` in a requested name standing for any text.
///
/// Exact names win, then the pattern with the longest fixed part. A `*` in the upstream name takes what the pattern's
/// `*` stood for. Without any entry every model is served under its own name; with some, only those that match.
package struct ModelMapping: Hashable, Sendable {
    private struct Pattern: Hashable, Sendable {
        var head: String
        var tail: String
        var target: String
        var fixedLength: Int { head.utf8.count + tail.utf8.count }
    }
    private let exact: [String: String]
    private let patterns: [Pattern]

    package init(_ entries: [String: String]) {
        var exact: [String: String] = [:]
        var patterns: [Pattern] = []
        for (name, target) in entries {
            guard let star = name.firstIndex(of: "*") else {
                exact[name] = target
                continue
            }
            patterns.append(
                Pattern(head: String(name[..<star]), tail: String(name[name.index(after: star)...]), target: target)
            )
        }
        self.exact = exact
        self.patterns = patterns.sorted {
            ($0.fixedLength, $1.head, $1.tail) > ($1.fixedLength, $0.head, $0.tail)
        }
    }

    package var isEmpty: Bool { exact.isEmpty && patterns.isEmpty }
    /// Whether there can be models beside `names` that are served.
    package var servesUnnamed: Bool { isEmpty || !patterns.isEmpty }
    /// The names without wildcards that callers can ask for.
    package var names: [String] { exact.keys.sorted() }

    /// Whether a pattern leads to this upstream model whatever a caller has asked for: the operator says that it is there.
    package func isFixed(_ upstream: String) -> Bool { patterns.contains { $0.target == upstream } }

    /// The upstream's name for the model, or nil when the account does not serve it.
    package func upstreamModel(for model: String) -> String? {
        if isEmpty { return model }
        if let target = exact[model] { return target }
        for pattern in patterns
        where model.utf8.count >= pattern.fixedLength && model.hasPrefix(pattern.head) && model.hasSuffix(pattern.tail)
        {
            guard let star = pattern.target.firstIndex(of: "*") else { return pattern.target }
            let matched = model.dropFirst(pattern.head.count).dropLast(pattern.tail.count)
            return String(pattern.target[..<star]) + matched + pattern.target[pattern.target.index(after: star)...]
        }
        return nil
    }
}
