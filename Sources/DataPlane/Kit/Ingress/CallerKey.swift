import Crypto
import Domain
package import HTTPMessages

/// The key that a caller presents.
package enum CallerKey {
    /// What `accept` makes of the first that it accepts of the texts presented as keys: in `x-api-key`, in
    /// `Authorization: Bearer`, in `x-goog-api-key` and, on Gemini's paths, in `?key=`. Some programs fill one of them
    /// with a placeholder.
    package static func first<Accepted>(
        in request: HTTPRequestHead,
        _ accept: (UnsafeRawBufferPointer) -> Accepted?
    ) -> Accepted? {
        if let found = first(in: request.headers, accept) { return found }
        guard !request.query.isEmpty, RouteTable.dialect(of: request) == .gemini, var key = request.queryValue("key")
        else { return nil }
        return key.withUTF8 { accept(UnsafeRawBufferPointer($0)) }
    }

    private static func first<Accepted>(
        in headers: HeaderFields,
        _ accept: (UnsafeRawBufferPointer) -> Accepted?
    ) -> Accepted? {
        if let found = headers.withValue("x-api-key", accept) ?? nil { return found }
        let bearer = headers.withValue("authorization") { value -> Accepted? in
            let scheme = "bearer ".utf8
            guard value.count > scheme.count,
                zip(value, scheme).allSatisfy({ $0 | 0x20 == $1 | 0x20 })
            else { return nil }
            let token = value[scheme.count...].drop { $0 == UInt8(ascii: " ") }
            return accept(UnsafeRawBufferPointer(rebasing: token))
        }
        if let found = bearer ?? nil { return found }
        return headers.withValue("x-goog-api-key", accept) ?? nil
    }

    /// The hash of a text that could be a key: its checksum tells.
    package static func hash(of value: UnsafeRawBufferPointer) -> String? {
        APIKeyFormat.isWellFormed(value) ? APIKeyFormat.hash(value) : nil
    }
}
