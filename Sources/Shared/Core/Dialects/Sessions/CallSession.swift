import Bytes
import Crypto
package import Domain

/// Which conversation a call belongs to, so that all of it can stay on one account.
package enum CallSession: Hashable, Sendable {
    /// What the caller names it by, or the content it has marked for caching: the same in every call of it.
    case named(SessionName)
    /// Known only by what was said: each call repeats the turns before it and adds some.
    case turns(DigestChain)
}

/// The 64 bits by which a session stands in Redis.
package struct SessionName: Hashable, Sendable {
    package let raw: UInt64
    package init(_ raw: UInt64) { self.raw = raw }
}

/// Whose call it is, as far as sessions depend on it.
package struct SessionScope: Sendable {
    package var user: UserID
    package var key: KeyID
    package var clientIP: String
    /// The caller's `User-Agent` as it came.
    package var userAgent: [UInt8]
    /// What a header names the session.
    package var stated: [UInt8]?

    package init(user: UserID, key: KeyID, clientIP: String, userAgent: [UInt8], stated: [UInt8]? = nil) {
        self.user = user
        self.key = key
        self.clientIP = clientIP
        self.userAgent = userAgent
        self.stated = stated
    }

    /// A session that the caller names: two users' sessions of one name are two.
    func session(named name: UnsafeRawBufferPointer) -> SessionName {
        var bytes = Array("u\(user):".utf8)
        bytes.append(contentsOf: name)
        return SessionName(XXH64.hash(bytes))
    }

    /// Lends `clientIP:userAgent:apiKeyID|`: what stands before the line tells the callers that share chains of turns.
    func withContext<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        let most = clientIP.utf8.count + userAgent.count + 24
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: most) { memory in
            var cursor = ByteCursor(memory)
            cursor.write(clientIP)
            cursor.write(UInt8(ascii: ":"))
            userAgent.withUnsafeBytes { cursor.write($0) }
            cursor.write(UInt8(ascii: ":"))
            cursor.write(decimal: key.raw)
            cursor.write(UInt8(ascii: "|"))
            return body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<cursor.count]))
        }
    }
}
