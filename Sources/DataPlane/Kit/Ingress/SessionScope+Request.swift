package import Dialects
package import Domain
package import HTTPMessages

extension SessionScope {
    private static let headers = ["session_id", "session-id", "conversation_id"]
    private static let longestName = 256
    private static let longestUserAgent = 512

    /// Whose session a request's is; of OpenAI's callers some name it in a header.
    package init(_ headers: HeaderFields, _ route: CallRoute, _ key: ServingKey, clientIP: String) {
        let userAgent = headers.withValue("user-agent") {
            Array(UnsafeRawBufferPointer(rebasing: $0.prefix(Self.longestUserAgent)))
        }
        self.init(user: key.user, key: key.id, clientIP: clientIP, userAgent: userAgent ?? [])
        guard route.dialect == .openaiChat || route.dialect == .openaiResponses else { return }
        for name in Self.headers where stated == nil {
            stated = headers.withValue(name) { (1...Self.longestName).contains($0.count) ? Array($0) : nil } ?? nil
        }
    }
}
