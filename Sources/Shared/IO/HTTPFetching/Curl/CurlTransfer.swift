import CCurl
import CCurlShims
import Glibc
import HTTPMessages
import HTTPWire
import Reactor

/// One request and its answer through libcurl.
final class CurlTransfer: TimedExchange {
    let easy: UnsafeMutableRawPointer
    /// Let go of when the transfer has been taken out.
    var group: CurlGroup?
    private let request: FetchRequest
    private let settings: CurlClient.Settings
    private var fieldList: UnsafeMutablePointer<curl_slist>?
    private let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))

    private var bodySent = 0
    private var isHeldUp = false
    /// What we found wrong, where libcurl only knows that we stopped it.
    private var refusal: FetchError?

    private var status = 0
    private var fields = HeaderFields()
    private var headBytes = 0
    private var interimHeads = 0

    private static let interimLimit = 32

    init(
        _ request: FetchRequest,
        through proxy: ProxyServer?,
        _ settings: CurlClient.Settings,
        _ deadlines: DeadlineQueue
    ) throws {
        guard let easy = curl_easy_init() else { throw FetchError.connect(detail: "out of memory") }
        self.easy = easy
        self.request = request
        self.settings = settings
        errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        let now = MonotonicTime.now
        super.init(request.timeouts, deadlines, now: now)
        clock.waitEndsAt = now + request.timeouts.connect
        let options = CurlOptions(easy)
        try options.set(request, settings)
        try options.set(proxy, settings)
        fieldList = options.fieldList(of: request)
        options.setFields(fieldList)
        options.setCallbacks(Unmanaged.passUnretained(self).toOpaque(), errorText)
    }

    func begin(in group: CurlGroup) {
        self.group = group
        scheduleDeadline()
    }

    deinit {
        curl_easy_cleanup(easy)
        curl_slist_free_all(fieldList)
        errorText.deallocate()
    }

    /// Waits for the answer's head.
    func response() async throws -> FetchResponse {
        let head = try await waitForHead()
        let version = tg_curl_get_long(easy, CURLINFO_HTTP_VERSION)
        return FetchResponse(head: head, version: version == Int(CURL_HTTP_VERSION_2_0) ? .http2 : .http1, body: self)
    }

    // MARK: What libcurl says

    /// A socket for an address, be it the proxy's or the upstream's own; none for one that must not be connected to.
    func openSocket(_ address: UnsafeMutablePointer<curl_sockaddr>) -> curl_socket_t {
        let found = withUnsafePointer(to: &address.pointee.addr) { SocketAddress($0) }
        if settings.refuses?(found) == true { return CURL_SOCKET_BAD }
        let type = address.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue)
        return socket(address.pointee.family, type, address.pointee.protocol)
    }

    /// The connection is there and the request about to be sent; again, when libcurl sends it on another connection.
    func willSend() -> Bool {
        guard stage != .ended else { return false }
        stage = request.body.isEmpty ? .awaitingHead : .sending
        bodySent = 0
        move()
        return true
    }

    func readBody(into destination: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(destination.count, request.body.count - bodySent)
        guard count > 0, stage != .ended else { return 0 }
        request.body.withUnsafeBytes {
            destination.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[bodySent..<bodySent + count]))
        }
        bodySent += count
        if stage == .sending, bodySent == request.body.count { stage = .awaitingHead }
        move()
        return count
    }

    func rewindBody(to offset: Int) -> Bool {
        guard 0...request.body.count ~= offset else { return false }
        bodySent = offset
        return true
    }

    /// Takes one line of a head, with its line end; false ends the transfer.
    func didReceiveLine(_ line: UnsafeRawBufferPointer) -> Bool {
        guard stage != .ended else { return false }
        // What comes after the head are trailers.
        guard stage != .reading else { return true }
        headBytes += line.count
        guard headBytes <= HTTP2Connection.headLimit else { return refuse("head too large") }
        let text = Self.withoutLineEnd(line)
        if text.isEmpty { return headDidEnd() }
        guard let colon = text.firstIndex(of: UInt8(ascii: ":")), colon > 0, status != 0 else {
            fields = HeaderFields()
            status = Self.status(ofLine: text)
            return status >= 100 ? true : refuse("status line")
        }
        let name = UnsafeRawBufferPointer(rebasing: text[..<colon])
        let value = Self.withoutBlanks(UnsafeRawBufferPointer(rebasing: text[(colon + 1)...]))
        // libcurl hands on what it would not send: folded lines, blanks before the colon, a CR within.
        guard FieldRules.isName(name), FieldRules.isValue(value) else { return refuse("field") }
        fields.add(name, value)
        return true
    }

    private func headDidEnd() -> Bool {
        let (status, fields) = (status, fields)
        self.status = 0
        self.fields = HeaderFields()
        switch status {
        case 101:
            return refuse("101 without being asked")
        case ..<200:
            interimHeads += 1
            return interimHeads <= Self.interimLimit ? true : refuse("flood")
        default:
            clock.activity = .now
            headDidCome(HTTPResponseHead(status: status, headers: fields))
            return true
        }
    }

    enum Taking { case taken, later, stop }

    func didReceiveBody(_ bytes: UnsafeRawBufferPointer) -> Taking {
        guard stage == .reading else { return .stop }
        if isPaused || !hasReader && unreadCount >= settings.windowPerStream {
            isHeldUp = true
            return .later
        }
        move()
        deliver(bytes)
        return stage == .reading ? .taken : .stop
    }

    private func refuse(_ detail: String) -> Bool {
        refusal = .protocolViolation(detail: detail)
        return false
    }

    /// libcurl is done with it; it has been taken out of its group.
    func didEnd(_ code: CURLcode) {
        guard stage != .ended else { return }
        if code == CURLE_OK, stage == .reading { return end(nil) }
        end(refusal ?? error(code))
    }

    private func error(_ code: CURLcode) -> FetchError {
        let text = String(cString: errorText)
        let detail = text.isEmpty ? String(cString: curl_easy_strerror(code)) : text
        switch code {
        case CURLE_OPERATION_TIMEDOUT where stage == .waiting: return .connectTimedOut
        case _ where stage == .waiting: return .connect(detail: detail)
        case CURLE_OK: return .connectionLost(detail: "answer cut short")
        // A bad argument is a field that libcurl itself cannot take apart.
        case CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL, CURLE_BAD_CONTENT_ENCODING, CURLE_HTTP2,
            CURLE_BAD_FUNCTION_ARGUMENT:
            return stage == .reading ? .connectionLost(detail: detail) : .protocolViolation(detail: detail)
        default: return .connectionLost(detail: detail)
        }
    }

    // MARK: What the reader says

    override func demandDidChange() {
        guard stage == .reading, wantsBody else { return }
        move()
        scheduleDeadline()
        guard isHeldUp else { return }
        isHeldUp = false
        group?.resume(self)
    }

    /// Goes on after a pause; not from within libcurl.
    func goOn() {
        if stage == .reading { curl_easy_pause(easy, CURLPAUSE_CONT) }
    }

    override func readerDidCancel() {
        guard stage != .ended else { return }
        leave()
        group?.abandon(self)
    }

    // MARK: Ending

    override func giveUp(_ error: FetchError) {
        guard stage != .ended else { return }
        let group = group
        end(error, isUrgent: true)
        group?.abandon(self)
    }

    private func move() {
        clock.activity = .now
        if stage != .reading { scheduleDeadline() }
    }

    // MARK: Lines

    private static func withoutLineEnd(_ line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var end = line.count
        if end > 0, line[end - 1] == UInt8(ascii: "\n") { end -= 1 }
        if end > 0, line[end - 1] == UInt8(ascii: "\r") { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: line[..<end])
    }

    private static func withoutBlanks(_ value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
        guard let first = value.firstIndex(where: { !isBlank($0) }),
            let last = value.lastIndex(where: { !isBlank($0) })
        else { return UnsafeRawBufferPointer(rebasing: value[..<0]) }
        return UnsafeRawBufferPointer(rebasing: value[first...last])
    }

    /// The code in `HTTP/1.1 200 OK`; 0 in anything else.
    private static func status(ofLine line: UnsafeRawBufferPointer) -> Int {
        guard line.starts(with: "HTTP/".utf8), let blank = line.firstIndex(of: UInt8(ascii: " ")),
            line.count >= blank + 4
        else { return 0 }
        let digits = line[(blank + 1)..<(blank + 4)]
        guard digits.allSatisfy({ $0 &- 0x30 < 10 }) else { return 0 }
        return digits.reduce(0) { $0 * 10 + Int($1 &- 0x30) }
    }
}
