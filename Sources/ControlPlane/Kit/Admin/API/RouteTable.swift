/// Finds the route of a call.
package struct RouteTable {
    package enum Match {
        case route(Route, parameters: [String: String])
        /// The path exists, for these methods.
        case otherMethods([String])
        case none
    }

    private enum Segment {
        case literal(Substring)
        case parameter(String)
    }
    private struct Entry {
        let segments: [Segment]
        let route: Route
    }

    private let entries: [Entry]
    package var routes: [Route] { entries.map(\.route) }

    package init(_ routes: [Route]) {
        entries = routes.map { Entry(segments: Self.parse($0.path), route: $0) }
    }

    private static func parse(_ path: String) -> [Segment] {
        path.split(separator: "/").map { part in
            part.hasPrefix("{") && part.hasSuffix("}")
                ? .parameter(String(part.dropFirst().dropLast())) : .literal(part)
        }
    }

    /// - Parameter path: without its query; parts are percent-decoded by whoever reads the parameters.
    package func find(_ method: String, _ path: some StringProtocol) -> Match {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        // HEAD is GET without the body; the server leaves that out.
        let wanted = method == "HEAD" ? "GET" : method
        var methods: [String] = []
        // A literal path wins over one with a parameter: /groups/sort-order over /groups/{id}.
        var best: (route: Route, parameters: [String: String])?
        for entry in entries {
            guard let parameters = Self.match(entry.segments, parts.map { String($0) }) else { continue }
            if !methods.contains(entry.route.method) { methods.append(entry.route.method) }
            guard entry.route.method == wanted else { continue }
            if best.map({ $0.parameters.count > parameters.count }) ?? true { best = (entry.route, parameters) }
        }
        if let best { return .route(best.route, parameters: best.parameters) }
        if methods.contains("GET") { methods.append("HEAD") }
        return methods.isEmpty ? .none : .otherMethods(methods)
    }

    private static func match(_ segments: [Segment], _ parts: [String]) -> [String: String]? {
        guard segments.count == parts.count else { return nil }
        var parameters: [String: String] = [:]
        for (segment, part) in zip(segments, parts) {
            switch segment {
            case .literal(let text): guard text == part else { return nil }
            case .parameter(let name):
                guard !part.isEmpty else { return nil }
                parameters[name] = part
            }
        }
        return parameters
    }
}
