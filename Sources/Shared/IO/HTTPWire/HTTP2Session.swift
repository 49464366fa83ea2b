import CNGHTTP2

/// An nghttp2 session that both sides of HTTP/2 are built on: it owns the C object and moves bytes in and out of it.
///
/// What the callbacks do is the caller's; their `user_data` is whatever the caller gave last, unretained.
package final class HTTP2Session {
    package enum Side: Sendable { case server, client }
    package let raw: OpaquePointer

    /// - Parameter configure: sets the callbacks.
    package init(
        _ side: Side,
        userData: UnsafeMutableRawPointer?,
        configure: (_ callbacks: OpaquePointer) -> Void
    ) throws(HTTP2Error) {
        var callbacks: OpaquePointer?
        try nghttp2("nghttp2_session_callbacks_new") { nghttp2_session_callbacks_new(&callbacks) }
        defer { nghttp2_session_callbacks_del(callbacks) }
        var option: OpaquePointer?
        try nghttp2("nghttp2_option_new") { nghttp2_option_new(&option) }
        defer { nghttp2_option_del(option) }
        // Closed streams are of no use to us, and nghttp2 would keep some for every connection.
        nghttp2_option_set_no_closed_streams(option, 1)
        // The window moves when the bytes have been taken further, not when they have arrived.
        nghttp2_option_set_no_auto_window_update(option, 1)
        // The peer's limit holds from its SETTINGS on; until then not more than this.
        nghttp2_option_set_peer_max_concurrent_streams(option, 100)
        // A caller's head may have 64 KiB, and what is passed on of it comes with fields of our own; the library counts 12
        // bytes more a field.
        nghttp2_option_set_max_send_header_block_length(option, 256 * 1024)
        if let callbacks { configure(callbacks) }
        var session: OpaquePointer?
        try nghttp2("nghttp2_session_new2") {
            side == .server
                ? nghttp2_session_server_new2(&session, callbacks, userData, option)
                : nghttp2_session_client_new2(&session, callbacks, userData, option)
        }
        guard let session else {
            throw HTTP2Error(call: "nghttp2_session_new2", code: NGHTTP2_ERR_NOMEM.rawValue)
        }
        raw = session
    }

    deinit { nghttp2_session_del(raw) }

    /// For whom cannot be pointed to before the session is there.
    package func setUserData(_ userData: UnsafeMutableRawPointer) { nghttp2_session_set_user_data(raw, userData) }

    /// Hands received bytes to the session, which calls back meanwhile. After an error the connection is lost.
    package func receive(_ bytes: UnsafeRawBufferPointer) throws(HTTP2Error) {
        guard !bytes.isEmpty else { return }
        let taken = nghttp2_session_mem_recv(
            raw,
            bytes.baseAddress?.assumingMemoryBound(to: UInt8.self),
            bytes.count
        )
        guard taken >= 0 else {
            throw HTTP2Error(call: "nghttp2_session_mem_recv", code: Int32(truncatingIfNeeded: taken))
        }
    }

    /// Takes frames to send out of the session, one by one, until there is none, or `send`, having taken one, returns
    /// false: back-pressure reaches the streams by frames staying unmade.
    package func drainOutput(_ send: (UnsafeRawBufferPointer) -> Bool) throws(HTTP2Error) {
        while true {
            var data: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(raw, &data)
            guard count >= 0 else {
                throw HTTP2Error(call: "nghttp2_session_mem_send", code: Int32(truncatingIfNeeded: count))
            }
            guard count > 0, send(UnsafeRawBufferPointer(start: data, count: count)) else { return }
        }
    }

    /// Neither side wants anything more of this connection.
    package var isOver: Bool {
        nghttp2_session_want_read(raw) == 0 && nghttp2_session_want_write(raw) == 0
    }
}
