/// An upstream's error, or one of the translation, in words that every dialect has.
package struct NeutralError: Error, Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        case invalidRequest, authentication, permission, notFound, tooLarge, rateLimited, overloaded, timeout, billing
        /// The upstream's own trouble.
        case upstream
    }

    package var kind: Kind
    package var message: String
    /// A finer word where the dialect has one (OpenAI `code`).
    package var code: String?
    /// The field at fault (OpenAI `param`).
    package var field: String?

    package init(_ kind: Kind, _ message: String, code: String? = nil, field: String? = nil) {
        self.kind = kind
        self.message = message
        self.code = code
        self.field = field
    }

    /// The error without what would give the upstream's account away.
    package func scrubbed(hiding hosts: [String]) -> NeutralError {
        NeutralError(
            kind,
            LeakScrubber.scrub(message, hiding: hosts) ?? message,
            code: code.map { LeakScrubber.scrub($0, hiding: hosts) ?? $0 },
            field: field.map { LeakScrubber.scrub($0, hiding: hosts) ?? $0 }
        )
    }

    /// What a status without a readable body means.
    package static func kind(ofStatus status: Int) -> Kind {
        switch status {
        case 401: .authentication
        case 402: .billing
        case 403: .permission
        case 404: .notFound
        case 408, 504: .timeout
        case 413: .tooLarge
        case 429: .rateLimited
        case 503, 529: .overloaded
        case 400..<500: .invalidRequest
        default: .upstream
        }
    }

    /// The status that the kind goes with where none came along (errors in a stream).
    package var status: Int {
        switch kind {
        case .invalidRequest: 400
        case .authentication: 401
        case .billing: 402
        case .permission: 403
        case .notFound: 404
        case .tooLarge: 413
        case .rateLimited: 429
        case .upstream: 500
        case .timeout: 504
        case .overloaded: 529
        }
    }
}
