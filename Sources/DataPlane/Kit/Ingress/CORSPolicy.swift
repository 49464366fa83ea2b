import Decisions
package import HTTPMessages

/// Which pages of other origins may call the gateway from a browser (Fetch standard, CORS protocol).
///
/// Keys are in header fields, never in cookies, so credentials are not allowed and a page can do no more than whoever
/// has the key.
package struct CORSPolicy: Sendable {
    private let origins: Set<String>
    private let allowsAll: Bool

    /// What a page may read beside the fields that it always may.
    private static let exposed =
        (["x-request-id", "request-id", "retry-after", "x-should-retry", "x-tollgate-code"] + RateFields.names)
        .joined(separator: ", ")
    private static let preflightSeconds = "600"
    /// Characters of the list of fields that a page asks for.
    private static let longestFieldList = 4096

    /// - Parameter list: origins (`https://app.example:8443`), or `*` for all.
    /// - Returns: nil when the list lets no page in; what is no origin lets none in either.
    package init?(_ list: [String]) {
        let names = list.map { $0.lowercased() }
        allowsAll = names.contains("*")
        origins = Set(names.filter(WebOrigin.isValid))
        if origins.isEmpty, !allowsAll { return nil }
    }

    /// What every answer to this request says of the policy.
    package func fields(for request: HTTPRequestHead) -> HeaderFields {
        var fields: HeaderFields = [:]
        // Or a cache would hand one origin's answer to another.
        if !allowsAll { fields.add("vary", "origin") }
        guard let origin = request.headers["origin"], admits(origin) else { return fields }
        fields.add("access-control-allow-origin", allowsAll ? "*" : origin)
        fields.add("access-control-expose-headers", Self.exposed)
        return fields
    }

    /// What the answer to a preflight says beside that; nil when the request is none, or of an origin that is not let in.
    ///
    /// - Parameter methods: of the resource.
    package func preflight(_ request: HTTPRequestHead, methods: String) -> HeaderFields? {
        guard request.method == "OPTIONS", request.headers.contains("access-control-request-method"),
            let origin = request.headers["origin"], admits(origin)
        else { return nil }
        var fields: HeaderFields = [
            "access-control-allow-methods": methods, "access-control-max-age": Self.preflightSeconds,
            "vary": "access-control-request-headers",
        ]
        if let asked = request.headers["access-control-request-headers"], asked.utf8.count <= Self.longestFieldList {
            fields.add("access-control-allow-headers", asked)
        }
        return fields
    }

    private func admits(_ origin: String) -> Bool { allowsAll || origins.contains(origin.lowercased()) }
}
