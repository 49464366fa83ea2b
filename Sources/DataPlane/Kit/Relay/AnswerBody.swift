import Formats
import HTTPFetching
import HTTPMessages
import Reactor

extension FetchResponse {
    /// The coding of an upstream that does not keep to identity; nil for none.
    var contentCoding: String? {
        guard let coding = head.headers["content-encoding"], !coding.isEmpty, coding.lowercased() != "identity" else {
            return nil
        }
        return coding
    }
}

extension WorkerContext {
    /// The whole body, in identity: `content-encoding` never reaches the caller.
    ///
    /// - Throws: `FetchError`, `InflateError`.
    func collect(_ response: FetchResponse, limit: Int) async throws -> [UInt8] {
        let body: [UInt8]
        if let whole = try response.collectIfEnded(limit: limit) {
            body = whole
        } else {
            body = try await response.collect(limit: limit)
        }
        guard let coding = response.contentCoding else { return body }
        return try await loop.offload { Result { try Inflate.inflate(body, encoding: coding, limit: limit) } }.get()
    }
}
