import CCurl
import CCurlShims
import CUV
import Reactor

/// One libcurl multi handle on the loop: the transfers that may share connections.
final class CurlGroup: Expiring, TurnEndObserver {
    private let loop: EventLoop
    private let deadlines: DeadlineQueue
    private let idleLifetime: Duration
    private let onUnused: () -> Void
    private var multi: UnsafeMutableRawPointer?
    private var timer: LoopTimer?
    private var sockets: [Int32: CurlSocket] = [:]
    /// By their easy handle.
    private var transfers: [UnsafeMutableRawPointer: CurlTransfer] = [:]
    /// To be taken out, or let go on, when no call of libcurl is under way.
    private var abandoned: [CurlTransfer] = []
    private var resumed: [CurlTransfer] = []
    private var isTurnEndScheduled = false
    private var isRetired = false
    private var idleSince = MonotonicTime.now

    private static let connectionLimit = 64

    init(
        _ loop: EventLoop,
        _ deadlines: DeadlineQueue,
        idleLifetime: Duration,
        onUnused: @escaping () -> Void
    ) throws {
        guard let multi = curl_multi_init() else { throw FetchError.connect(detail: "out of memory") }
        self.loop = loop
        self.deadlines = deadlines
        self.idleLifetime = idleLifetime
        self.onUnused = onUnused
        self.multi = multi
        super.init()
        timer = LoopTimer(loop) { [unowned self] in act(on: CURL_SOCKET_TIMEOUT, 0) }
        tg_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, Self.connectionLimit)
        tg_curl_multi_set_callbacks(
            multi,
            { _, descriptor, what, context, _ in
                CurlGroup.from(context)?.watch(descriptor, what)
                return 0
            },
            { _, milliseconds, context in
                CurlGroup.from(context)?.setTimer(milliseconds)
                return 0
            },
            Unmanaged.passUnretained(self).toOpaque()
        )
    }

    deinit { close() }

    private static func from(_ context: UnsafeMutableRawPointer?) -> CurlGroup? {
        context.map { Unmanaged<CurlGroup>.fromOpaque($0).takeUnretainedValue() }
    }

    var count: Int { transfers.count - abandoned.count { transfers[$0.easy] === $0 } }
    var watchedSockets: Int { sockets.count }

    // MARK: Transfers

    func start(_ transfer: CurlTransfer) throws {
        guard let multi else { throw FetchError.connect(detail: "client closed") }
        let code = curl_multi_add_handle(multi, transfer.easy)
        guard code == CURLM_OK else {
            throw FetchError.connect(detail: "curl_multi_add_handle: \(code.rawValue)")
        }
        transfers[transfer.easy] = transfer
        transfer.begin(in: self)
    }

    /// Takes a transfer out whose end nobody waits for.
    func abandon(_ transfer: CurlTransfer) {
        abandoned.append(transfer)
        scheduleTurnEnd()
    }

    /// Lets a transfer that had paused go on.
    func resume(_ transfer: CurlTransfer) {
        resumed.append(transfer)
        scheduleTurnEnd()
    }

    private func scheduleTurnEnd() {
        guard !isTurnEndScheduled else { return }
        isTurnEndScheduled = true
        loop.notifyAtTurnEnd(self)
    }

    func turnDidEnd() {
        isTurnEndScheduled = false
        let (leaving, going) = (abandoned, resumed)
        abandoned = []
        resumed = []
        for transfer in leaving { remove(transfer) }
        for transfer in going where transfers[transfer.easy] === transfer { transfer.goOn() }
        takeResults()
        if isRetired, transfers.isEmpty { close() }
    }

    private func remove(_ transfer: CurlTransfer) {
        guard let multi, transfers.removeValue(forKey: transfer.easy) != nil else { return }
        curl_multi_remove_handle(multi, transfer.easy)
        transfer.group = nil
        guard transfers.isEmpty else { return }
        idleSince = .now
        // On closing, the last one out has the connections closed at the turn's end: a result may be on its way to it.
        if isRetired { scheduleTurnEnd() } else { deadlines.add(self, at: idleSince + idleLifetime) }
    }

    private func takeResults() {
        var left: Int32 = 0
        while let multi, let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle,
                let transfer = transfers[easy]
            else { continue }
            let code = message.pointee.data.result
            remove(transfer)
            transfer.didEnd(code)
        }
    }

    // MARK: The loop's side

    private func act(on descriptor: Int32, _ events: Int32) {
        guard let multi else { return }
        var running: Int32 = 0
        curl_multi_socket_action(multi, descriptor, events, &running)
        takeResults()
    }

    private func watch(_ descriptor: Int32, _ what: Int32) {
        guard what != CURL_POLL_REMOVE else {
            sockets.removeValue(forKey: descriptor)?.close()
            return
        }
        if sockets[descriptor] == nil {
            // A socket that cannot be watched makes its transfer time out.
            sockets[descriptor] = try? CurlSocket(loop, descriptor) { [unowned self] status, events in
                var flags: Int32 = status < 0 ? CURL_CSELECT_ERR : 0
                if events & Int32(UV_READABLE.rawValue) != 0 { flags |= CURL_CSELECT_IN }
                if events & Int32(UV_WRITABLE.rawValue) != 0 { flags |= CURL_CSELECT_OUT }
                act(on: descriptor, flags)
            }
        }
        sockets[descriptor]?.watch(reading: what & CURL_POLL_IN != 0, writing: what & CURL_POLL_OUT != 0)
    }

    private func setTimer(_ milliseconds: Int) {
        if milliseconds < 0 { timer?.stop() } else { timer?.start(after: .milliseconds(milliseconds)) }
    }

    // MARK: Ending

    /// Closes the connections that nothing has used for a while, by closing all.
    override func deadlineDidPass(_ now: MonotonicTime) -> MonotonicTime? {
        guard transfers.isEmpty else { return nil }
        let due = idleSince + idleLifetime
        guard due <= now else { return due }
        close()
        onUnused()
        return nil
    }

    /// Closes the connections when nothing uses them any more.
    func retire() {
        isRetired = true
        if transfers.isEmpty { close() }
    }

    private func close() {
        guard let multi else { return }
        self.multi = nil
        deadlines.remove(self)
        timer = nil
        curl_multi_cleanup(multi)
        for socket in sockets.values { socket.close() }
        sockets = [:]
    }
}
