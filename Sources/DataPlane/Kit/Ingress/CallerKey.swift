import Crypto
import Domain
package import HTTPMessages

/// The key that a caller presents.
package enum CallerKey {
    /// The hash of the caller's key from its headers or, on Gemini's paths, from `?key=`.
    package static func hash(in request: HTTPRequestHead) -> String? {
        if let found = hash(in: request.headers) { return found }
        guard !request.query.isEmpty, RouteTable.dialect(of: request) == .gemini, var key = request.queryValue("key")
        else { return nil }
        return key.withUTF8 { hash(of: UnsafeRawBufferPointer($0)) }
    }

    /// The hash of the caller's key from `x-api-key`, `Authorization: Bearer` or `x-goog-api-key`, the first that could
    /// be a key (its checksum tells); nil when none could. Some programs fill one of them with a placeholder.
    package static func hash(in headers: HeaderFields) -> String? {
        if let found = headers.withValue("x-api-key", hash(of:)) ?? nil { return found }
        let bearer = headers.withValue("authorization") { value -> String? in
            let scheme = "bearer ".utf8
            guard value.count > scheme.count,
                zip(value, scheme).allSatisfy({ $0 | 0x20 == $1 | 0x20 })
            else { return nil }
            let token = value[scheme.count...].drop { $0 == UInt8(ascii: " ") }
            return hash(of: UnsafeRawBufferPointer(rebasing: token))
        }
        if let found = bearer ?? nil { return found }
        return headers.withValue("x-goog-api-key", hash(of:)) ?? nil
    }

    private static func hash(of value: UnsafeRawBufferPointer) -> String? {
        APIKeyFormat.isWellFormed(value) ? APIKeyFormat.hash(value) : nil
    }
}
