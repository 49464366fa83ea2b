import COpenSSL

/// Tickets for resuming sessions with servers, by name, port, and who is kept apart from others.
///
/// A ticket is used once: used twice, it would let an onlooker link the connections (RFC 8446, C.4).
struct SessionCache {
    private var tickets: [String: OpaquePointer] = [:]
    private static let capacity = 256

    /// Takes over the caller's reference to `ticket`.
    mutating func put(_ ticket: OpaquePointer, for key: String) {
        if tickets.count >= Self.capacity, let (oldKey, old) = tickets.first {
            tickets[oldKey] = nil
            SSL_SESSION_free(old)
        }
        if let old = tickets.updateValue(ticket, forKey: key) { SSL_SESSION_free(old) }
    }

    /// Offers the ticket kept for `key`, if there is one, on a session that is about to begin.
    mutating func offer(on session: OpaquePointer, for key: String) {
        guard let ticket = tickets.removeValue(forKey: key) else { return }
        if SSL_SESSION_is_resumable(ticket) == 1 { SSL_set_session(session, ticket) }
        SSL_SESSION_free(ticket)
    }

    mutating func removeAll() {
        for ticket in tickets.values { SSL_SESSION_free(ticket) }
        tickets.removeAll()
    }
}
