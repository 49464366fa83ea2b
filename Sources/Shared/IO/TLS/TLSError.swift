import COpenSSL

/// What went wrong with TLS. The texts are OpenSSL's reasons: they name no key, host or account.
package enum TLSError: Error, Equatable {
    /// A certificate, key or trust file that cannot be used.
    case configuration(String)
    /// The two sides did not come to terms.
    case handshake(String)
    /// The peer's certificate is not to be trusted for this name.
    case certificate(String)
    /// The peer broke TLS after the handshake, or ended the connection without saying so (RFC 8446, 6.1).
    case protocolViolation(String)
}

/// OpenSSL's error queue of this thread.
enum ErrorQueue {
    /// The reason of the newest error, for people; the queue is empty afterwards.
    static func takeReason() -> String {
        let code = ERR_peek_last_error()
        ERR_clear_error()
        guard code != 0 else { return "connection ended" }
        guard let text = ERR_reason_error_string(code) else { return "error \(code)" }
        return String(cString: text)
    }
}
