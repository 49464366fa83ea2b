import COpenSSL
import Reactor

/// TLS over another stream (OpenSSL with an in-memory BIO).
///
/// What is written in one turn of the loop is encrypted together when the turn ends, so that small writes share a
/// record and a system call.
final class TLSStream: ByteStream, ByteStreamHandler, TurnEndObserver {
    var handler: (any ByteStreamHandler)?
    /// Called once, when the handshake has ended one way or the other.
    var onHandshake: ((Result<Void, any Error>) -> Void)?
    let lower: any ByteStream
    private(set) var negotiatedProtocol: String?
    var endsTurnFirst: Bool { goesFirst }
    var goesFirst: Bool {
        get { lower.goesFirst }
        set { lower.goesFirst = newValue }
    }

    private let context: TLSContext
    private let loop: EventLoop
    private let sessionKey: String?
    /// Nil only when OpenSSL is out of memory.
    private let session: OpaquePointer?
    private var phase = Phase.handshaking
    private var handshakeTimer: LoopTimer?
    private var isResumed = false

    /// Ciphertext being read in this call.
    private var input = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Ciphertext that arrived while the owner did not want to read.
    private var held: [UInt8] = []
    /// Plaintext waiting for the turn's end, or for the handshake's.
    private var pending: [UInt8] = []
    private var wantsReading = false
    private var wantsDrain = false
    private var hasPeerEnded = false
    private var isTurnEndScheduled = false

    private enum Phase {
        /// Next: `open`, `closing` (closed with output waiting), `closed`.
        case handshaking
        /// Next: `closed`.
        case open
        /// The owner is gone; output waits for the handshake. Next: `closed`.
        case closing
        case closed
    }

    private static let recordBytes = 16 * 1024

    init(_ context: TLSContext, over lower: any ByteStream, sessionKey: String?) {
        guard let loop = EventLoop.current else { preconditionFailure("TLS outside of a loop") }
        self.context = context
        self.lower = lower
        self.loop = loop
        self.sessionKey = sessionKey
        session = SSL_new(context.raw)
    }

    deinit { SSL_free(session) }

    var peer: SocketAddress { lower.peer }
    var bufferedBytes: Int { pending.count + lower.bufferedBytes }
    var unacknowledgedBytes: Int { pending.count + lower.unacknowledgedBytes }

    // MARK: Handshake

    /// Client role: what is offered and who must answer.
    func identify(serverName: String, offering protocols: [UInt8]) {
        guard let session else { return }
        if !protocols.isEmpty { SSL_set_alpn_protos(session, protocols, UInt32(protocols.count)) }
        if SocketAddress(ip: serverName, port: 0) != nil {
            X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), serverName)
        } else {
            SSL_set_hostflags(session, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
            // An empty name would switch the check off; this one matches nothing.
            SSL_set1_host(session, serverName.isEmpty ? "." : serverName)
            var name = serverName.utf8CString
            name.withUnsafeMutableBufferPointer { name in
                _ = SSL_ctrl(
                    session,
                    SSL_CTRL_SET_TLSEXT_HOSTNAME,
                    Int(TLSEXT_NAMETYPE_host_name),
                    UnsafeMutableRawPointer(name.baseAddress)
                )
            }
        }
        SSL_set_ex_data(session, 0, Unmanaged.passUnretained(self).toOpaque())
        if let sessionKey { context.sessions.offer(on: session, for: sessionKey) }
    }

    func start(asServer: Bool, limit: Duration) {
        lower.handler = self
        guard let session, StreamBIO.attach(session, to: self) else {
            return fail(TLSError.handshake("out of memory"))
        }
        if asServer { SSL_set_accept_state(session) } else { SSL_set_connect_state(session) }
        handshakeTimer = loop.schedule(after: limit) { [unowned self] in
            let error: any Error = asServer ? TLSError.handshake("timed out") : ConnectError.timedOut
            fail(error)
        }
        lower.setReading(true)
        shakeHands()
    }

    private func shakeHands() {
        guard let session else { return }
        ERR_clear_error()
        let code = SSL_do_handshake(session)
        if code == 1 { return didShakeHands(session) }
        guard SSL_get_error(session, code) != SSL_ERROR_WANT_READ else { return }
        let verdict = SSL_get_verify_result(session)
        let reason = ErrorQueue.takeReason()
        guard verdict != X509_V_OK, let text = X509_verify_cert_error_string(Int(verdict)) else {
            return fail(TLSError.handshake(reason))
        }
        fail(TLSError.certificate(String(cString: text)))
    }

    private func didShakeHands(_ session: OpaquePointer) {
        handshakeTimer = nil
        var name: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        SSL_get0_alpn_selected(session, &name, &length)
        if let name {
            negotiatedProtocol = String(decoding: UnsafeBufferPointer(start: name, count: Int(length)), as: UTF8.self)
        }
        isResumed = SSL_session_reused(session) == 1
        if phase == .closing {
            phase = .open
            return close()
        }
        phase = .open
        lower.setReading(wantsReading)
        if !pending.isEmpty || wantsDrain { scheduleTurnEnd() }
        onHandshake?(.success(()))
        onHandshake = nil
    }

    /// Keeps a ticket for the next connection to this server; returns whether the reference was taken.
    func keepSession(_ ticket: OpaquePointer) -> Bool {
        guard let sessionKey else { return false }
        context.sessions.put(ticket, for: sessionKey)
        return true
    }

    /// Whether the handshake continued an earlier session.
    var didResume: Bool { isResumed }

    // MARK: Reading

    func setReading(_ isOn: Bool) {
        guard isOn != wantsReading else { return }
        wantsReading = isOn
        guard phase == .open else { return }
        lower.setReading(isOn)
        if isOn, !held.isEmpty { scheduleTurnEnd() }
    }

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        guard held.isEmpty else {
            held.append(contentsOf: bytes)
            return readHeld()
        }
        input = bytes
        if phase == .handshaking || phase == .closing { shakeHands() }
        if phase == .open { decrypt() }
        if !input.isEmpty, !hasPeerEnded, phase == .open { held = Array(input) }
        input = UnsafeRawBufferPointer(start: nil, count: 0)
    }

    private func readHeld() {
        let bytes = held
        held = []
        bytes.withUnsafeBytes { streamDidRead($0) }
    }

    /// Hands over what can be decrypted, as long as the owner wants it.
    private func decrypt() {
        guard let session else { return }
        while wantsReading, phase == .open, !hasPeerEnded {
            var filled = 0
            var outcome = SSL_ERROR_NONE
            ERR_clear_error()
            // Room for a whole record each time: then none stays behind inside OpenSSL, where nobody would fetch it.
            while outcome == SSL_ERROR_NONE, context.plaintext.count - filled >= Self.recordBytes {
                var count = 0
                let code = SSL_read_ex(
                    session,
                    context.plaintext.baseAddress?.advanced(by: filled),
                    context.plaintext.count - filled,
                    &count
                )
                if code == 1 { filled += count } else { outcome = SSL_get_error(session, code) }
            }
            let failure = outcome == SSL_ERROR_SSL || outcome == SSL_ERROR_SYSCALL ? ErrorQueue.takeReason() : nil
            if filled > 0 { handler?.streamDidRead(UnsafeRawBufferPointer(rebasing: context.plaintext[..<filled])) }
            if let failure { return fail(TLSError.protocolViolation(failure)) }
            if outcome == SSL_ERROR_ZERO_RETURN {
                hasPeerEnded = true
                if phase == .open { handler?.streamDidEnd(nil) }
            }
            if outcome != SSL_ERROR_NONE { return }
        }
    }

    /// Gives OpenSSL its next input.
    func takeCiphertext(_ destination: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(destination.count, input.count)
        guard count > 0 else { return 0 }
        destination.copyMemory(from: UnsafeRawBufferPointer(rebasing: input[..<count]))
        input = UnsafeRawBufferPointer(rebasing: input[count...])
        return count
    }

    // MARK: Writing

    func write(_ bytes: UnsafeRawBufferPointer) {
        guard phase == .open || phase == .handshaking, !bytes.isEmpty else { return }
        if phase == .open, pending.isEmpty, bytes.count >= Self.recordBytes {
            return encrypt(bytes)
        }
        pending.append(contentsOf: bytes)
        if phase == .open, pending.count >= Self.recordBytes { encryptPending() } else { scheduleTurnEnd() }
    }

    private func encryptPending() {
        guard !pending.isEmpty, phase == .open else { return }
        // Taken out meanwhile: nothing may change it while its address is in use.
        var bytes = pending
        pending = []
        bytes.withUnsafeBytes { encrypt($0) }
        bytes.removeAll(keepingCapacity: bytes.capacity <= Self.recordBytes)
        if pending.isEmpty { pending = bytes }
    }

    private func encrypt(_ bytes: UnsafeRawBufferPointer) {
        guard let session else { return }
        ERR_clear_error()
        var count = 0
        // The BIO takes everything, so a write never stops half-way.
        if SSL_write_ex(session, bytes.baseAddress, bytes.count, &count) != 1 {
            fail(TLSError.protocolViolation(ErrorQueue.takeReason()))
        }
    }

    func notifyWhenDrained() {
        wantsDrain = true
        scheduleTurnEnd()
    }

    func streamDidDrain() {
        guard wantsDrain, pending.isEmpty else { return }
        wantsDrain = false
        handler?.streamDidDrain()
    }

    private func scheduleTurnEnd() {
        guard !isTurnEndScheduled else { return }
        isTurnEndScheduled = true
        loop.notifyAtTurnEnd(self)
    }

    func turnDidEnd() {
        isTurnEndScheduled = false
        guard phase == .open else { return }
        if wantsReading, !held.isEmpty { readHeld() }
        encryptPending()
        if wantsDrain, phase == .open { lower.notifyWhenDrained() }
    }

    // MARK: Ending

    func streamDidEnd(_ error: (any Error)?) {
        if let error { return fail(error) }
        // The end of the connection below is the end of this one only if the peer has said so in TLS as well: else
        // anybody on the way could cut an answer short unseen.
        guard !hasPeerEnded else { return }
        switch phase {
        case .handshaking, .closing: fail(TLSError.handshake("connection ended"))
        case .open: fail(TLSError.protocolViolation("connection ended without close_notify"))
        case .closed: break
        }
    }

    /// Ends both layers; an alert that OpenSSL has written still goes out.
    private func fail(_ error: any Error) {
        guard phase != .closed else { return }
        let (handler, onHandshake) = (handler, onHandshake)
        end()
        lower.close()
        onHandshake?(.failure(error))
        handler?.streamDidEnd(error)
    }

    func close() {
        switch phase {
        case .handshaking where !pending.isEmpty:
            handler = nil
            phase = .closing
        case .handshaking:
            end()
            lower.close()
        case .open:
            handler = nil
            encryptPending()
            guard phase == .open, let session else { return }
            ERR_clear_error()
            SSL_shutdown(session)
            ERR_clear_error()
            end()
            lower.close()
        case .closing, .closed:
            break
        }
    }

    func abort() {
        end()
        lower.abort()
    }

    private func end() {
        phase = .closed
        handler = nil
        onHandshake = nil
        handshakeTimer = nil
        pending = []
        held = []
    }
}
