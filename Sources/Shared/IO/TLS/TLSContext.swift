import COpenSSL
package import Reactor

/// Settings shared by the TLS connections of one role. Made once per loop.
package final class TLSContext {
    let raw: OpaquePointer
    /// Where the streams of this context decrypt to; a handler uses the bytes before it returns.
    let plaintext = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
    var sessions = SessionCache()
    /// The protocols in ALPN's wire form, at an address that lasts: the server's choice points into it.
    private let protocols: UnsafeMutableBufferPointer<UInt8>

    /// A handshake that an accepted connection does not finish in this time is given up.
    var acceptLimit = Duration.seconds(10)

    // MARK: Making one

    /// - Throws: `TLSError.configuration`.
    package static func server(
        certificateChainFile: String,
        privateKeyFile: String,
        alpn: [String]
    ) throws -> TLSContext {
        let context = try TLSContext(method: TLS_server_method(), alpn: alpn)
        let raw = context.raw
        try configure("certificate chain") { SSL_CTX_use_certificate_chain_file(raw, certificateChainFile) }
        try configure("private key") { SSL_CTX_use_PrivateKey_file(raw, privateKeyFile, SSL_FILETYPE_PEM) }
        try configure("private key") { SSL_CTX_check_private_key(raw) }
        SSL_CTX_set_options(raw, UInt64(tlsOption: 22))  // SSL_OP_CIPHER_SERVER_PREFERENCE
        // Resumption by ticket only: nothing is kept for callers that do not come back.
        SSL_CTX_ctrl(raw, SSL_CTRL_SET_SESS_CACHE_MODE, Int(SSL_SESS_CACHE_OFF), nil)
        SSL_CTX_set_num_tickets(raw, 1)
        if !alpn.isEmpty {
            SSL_CTX_set_alpn_select_cb(
                raw,
                { _, chosen, chosenLength, offered, offeredLength, argument in
                    guard let argument else { return SSL_TLSEXT_ERR_ALERT_FATAL }
                    let context = Unmanaged<TLSContext>.fromOpaque(argument).takeUnretainedValue()
                    return context.chooseProtocol(chosen, chosenLength, offered, offeredLength)
                },
                Unmanaged.passUnretained(context).toOpaque()
            )
        }
        return context
    }

    /// - Parameter authorityFile: extra trust anchors in PEM, added to the system's.
    /// - Throws: `TLSError.configuration`.
    package static func client(alpn: [String], authorityFile: String? = nil) throws -> TLSContext {
        let context = try TLSContext(method: TLS_client_method(), alpn: alpn)
        let raw = context.raw
        SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nil)
        try TrustStore.shared(adding: authorityFile).use(in: raw)
        let cacheMode = SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL
        SSL_CTX_ctrl(raw, SSL_CTRL_SET_SESS_CACHE_MODE, Int(cacheMode), nil)
        SSL_CTX_sess_set_new_cb(raw) { session, ticket in
            guard let session, let ticket, let data = SSL_get_ex_data(session, 0) else { return 0 }
            return Unmanaged<TLSStream>.fromOpaque(data).takeUnretainedValue().keepSession(ticket) ? 1 : 0
        }
        return context
    }

    private init(method: OpaquePointer?, alpn: [String]) throws {
        guard let raw = SSL_CTX_new(method) else { throw TLSError.configuration(ErrorQueue.takeReason()) }
        self.raw = raw
        let wire = try Self.wireForm(of: alpn)
        protocols = .allocate(capacity: wire.count)
        _ = protocols.initialize(from: wire)
        SSL_CTX_ctrl(raw, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
        let mode = SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
        SSL_CTX_ctrl(raw, SSL_CTRL_MODE, Int(mode), nil)
        SSL_CTX_set_options(raw, UInt64(tlsOption: 30) | UInt64(tlsOption: 17))  // no renegotiation, no compression
    }

    deinit {
        sessions.removeAll()
        SSL_CTX_free(raw)
        plaintext.deallocate()
        protocols.deallocate()
    }

    private static func configure(_ what: StaticString, _ call: () -> Int32) throws {
        ERR_clear_error()
        guard call() == 1 else { throw TLSError.configuration("\(what): \(ErrorQueue.takeReason())") }
    }

    /// RFC 7301, 3.1: each name behind its length.
    private static func wireForm(of protocols: [String]) throws -> [UInt8] {
        var wire: [UInt8] = []
        for name in protocols {
            guard let length = UInt8(exactly: name.utf8.count), length > 0 else {
                throw TLSError.configuration("protocol name")
            }
            wire.append(length)
            wire.append(contentsOf: name.utf8)
        }
        return wire
    }

    /// The first of our protocols that the client offers; none of them is an error (RFC 7301, 3.2).
    private func chooseProtocol(
        _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
        _ chosenLength: UnsafeMutablePointer<UInt8>?,
        _ offered: UnsafePointer<UInt8>?,
        _ offeredLength: UInt32
    ) -> Int32 {
        var choice: UnsafeMutablePointer<UInt8>?
        let outcome = SSL_select_next_proto(
            &choice,
            chosenLength,
            protocols.baseAddress,
            UInt32(truncatingIfNeeded: protocols.count),
            offered,
            offeredLength
        )
        guard outcome == OPENSSL_NPN_NEGOTIATED else { return SSL_TLSEXT_ERR_ALERT_FATAL }
        chosen?.pointee = UnsafePointer(choice)
        return SSL_TLSEXT_ERR_OK
    }

    // MARK: Using it

    /// TLS on an accepted connection. The handshake goes on by itself; the stream can be used at once.
    package func accept(_ stream: any ByteStream) -> any ByteStream {
        let session = TLSStream(self, over: stream, sessionKey: nil)
        session.start(asServer: true, limit: acceptLimit)
        return session
    }

    /// TLS to a server, whose certificate and name (or address) are verified.
    ///
    /// - Parameters:
    ///   - alpn: the protocols to offer on this connection in place of the context's.
    ///   - isolation: connections with different tags never resume one another's sessions, by which the server could tell
    ///     that they belong together (RFC 8446, C.4).
    /// - Throws: `TLSError`; `ConnectError.timedOut`; the `UVError` of a connection that failed. `stream` is closed then.
    package func connect(
        _ stream: any ByteStream,
        serverName: String,
        timeout: Duration,
        alpn: [String]? = nil,
        isolation: Int64? = nil
    ) async throws -> any ByteStream {
        let offered = try alpn.map(Self.wireForm) ?? Array(protocols)
        let name = serverName.hasSuffix(".") ? String(serverName.dropLast()) : serverName
        let tag = isolation.map { " \($0)" } ?? ""
        let session = TLSStream(self, over: stream, sessionKey: "\(name):\(stream.peer.port)\(tag)")
        let done = Promise<Void>()
        session.onHandshake = { done.fulfil($0) }
        session.identify(serverName: name, offering: offered)
        session.start(asServer: false, limit: timeout)
        try await done.wait()
        return session
    }
}

extension UInt64 {
    /// OpenSSL defines its options by bit number, in macros that Swift does not import.
    fileprivate init(tlsOption bit: Int) { self = 1 << UInt64(bit) }
}
