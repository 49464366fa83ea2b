import CCurl
import CCurlShims
import HTTPMessages
import Reactor

/// Sets up one libcurl handle.
struct CurlOptions {
    private let easy: UnsafeMutableRawPointer

    init(_ easy: UnsafeMutableRawPointer) { self.easy = easy }

    // MARK: The request

    func set(_ request: FetchRequest, _ settings: CurlClient.Settings) throws {
        let endpoint = request.endpoint
        guard HTTP1RequestWriter.isWritable(request.head), request.head.target.hasPrefix("/"),
            endpoint.authority.utf8.allSatisfy(Self.isHostByte)
        else { throw FetchError.protocolViolation(detail: "request cannot be written") }
        guard endpoint.isTLS || endpoint.wireProtocol != .http2 else {
            throw FetchError.connect(detail: "no HTTP/2 without TLS through libcurl")
        }
        let scheme = endpoint.isTLS ? "https" : "http"
        try set(CURLOPT_PROTOCOLS_STR, "http,https")
        try set(CURLOPT_URL, "\(scheme)://\(endpoint.authority)\(request.head.target)")
        try set(CURLOPT_PATH_AS_IS, 1)
        try set(CURLOPT_NOSIGNAL, 1)
        // A transfer that ends while its name is being looked up does not wait for that: the loop would stand still.
        try set(CURLOPT_QUICK_EXIT, 1)
        try set(CURLOPT_FOLLOWLOCATION, 0)
        try set(CURLOPT_DNS_CACHE_TIMEOUT, 30)
        try set(CURLOPT_TCP_NODELAY, 1)
        try set(CURLOPT_BUFFERSIZE, 32 * 1024)
        try set(CURLOPT_MAXAGE_CONN, Int(clamping: settings.idleConnectionLifetime.components.seconds))
        try set(CURLOPT_CONNECTTIMEOUT_MS, Int(clamping: request.timeouts.connect.timeoutMilliseconds))
        if endpoint.isTLS {
            // libcurl gives every HTTP/2 stream a window of 32 MiB, which a paused reader could let fill up. Over
            // HTTP/1.1 the socket is simply not read.
            try set(
                CURLOPT_HTTP_VERSION,
                endpoint.wireProtocol == .http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1
            )
            try set(CURLOPT_PIPEWAIT, 1)
            try set(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2)
            if let file = settings.authorityFile { try set(CURLOPT_CAINFO, file) }
        } else {
            try set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1)
        }
        try setMethod(of: request)
    }

    private func setMethod(of request: FetchRequest) throws {
        let method = request.head.method
        if method == "HEAD" {
            try set(CURLOPT_NOBODY, 1)
        } else if !request.body.isEmpty || method == "POST" || method == "PUT" || method == "PATCH" {
            try set(CURLOPT_POST, 1)
            tg_curl_set_offset(easy, CURLOPT_POSTFIELDSIZE_LARGE, Int(request.body.count))
            try set(CURLOPT_CUSTOMREQUEST, method)
        } else {
            try set(CURLOPT_HTTPGET, 1)
            try set(CURLOPT_CUSTOMREQUEST, method)
        }
    }

    /// The head's fields as libcurl wants them, to be freed by the caller. Those that libcurl adds by itself are
    /// switched off by a name with nothing behind it.
    func fieldList(of request: FetchRequest) -> UnsafeMutablePointer<curl_slist>? {
        var list: UnsafeMutablePointer<curl_slist>?
        func append(_ line: String) {
            if let longer = curl_slist_append(list, line) { list = longer }
        }
        request.head.headers.forEach { name, value in
            guard !HTTP1RequestWriter.isFraming(FieldBytes(raw: name)) else { return }
            let name = String(decoding: name, as: UTF8.self)
            append(value.isEmpty ? "\(name);" : "\(name): \(String(decoding: value, as: UTF8.self))")
        }
        append("expect:")
        for name in ["accept", "content-type", "user-agent"] where !request.head.headers.contains(name) {
            append("\(name):")
        }
        return list
    }

    func setFields(_ list: UnsafeMutablePointer<curl_slist>?) {
        tg_curl_set_pointer(easy, CURLOPT_HTTPHEADER, list)
    }

    // MARK: The proxy

    func set(_ proxy: ProxyServer?, _ settings: CurlClient.Settings) throws {
        // Proxies come from the account, never from the environment.
        try set(CURLOPT_NOPROXY, "")
        guard let proxy else { return try set(CURLOPT_PROXY, "") }
        let type =
            switch proxy.scheme {
            case .http: CURLPROXY_HTTP
            case .https: CURLPROXY_HTTPS
            case .socks5: CURLPROXY_SOCKS5_HOSTNAME
            }
        let host = proxy.host.utf8.contains(UInt8(ascii: ":")) ? "[\(proxy.host)]" : proxy.host
        guard !host.isEmpty, host.utf8.allSatisfy(Self.isHostByte) else {
            throw FetchError.connect(detail: "proxy's host name")
        }
        try set(CURLOPT_PROXY, host)
        try set(CURLOPT_PROXYPORT, Int(proxy.port))
        try set(CURLOPT_PROXYTYPE, Int(type.rawValue))
        // A tunnel for http too: else the proxy's own refusals would look like the upstream's answers.
        try set(CURLOPT_HTTPPROXYTUNNEL, 1)
        try set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        if let username = proxy.username { try set(CURLOPT_PROXYUSERNAME, username) }
        if let password = proxy.password { try set(CURLOPT_PROXYPASSWORD, password) }
        if proxy.scheme == .https {
            try set(CURLOPT_PROXY_SSLVERSION, CURL_SSLVERSION_TLSv1_2)
            if let file = settings.authorityFile { try set(CURLOPT_PROXY_CAINFO, file) }
        }
    }

    // MARK: Callbacks

    /// - Parameter context: a `CurlTransfer`, which must outlive the handle's use.
    func setCallbacks(_ context: UnsafeMutableRawPointer, _ errorText: UnsafeMutablePointer<CChar>) {
        for option in [
            CURLOPT_WRITEDATA, CURLOPT_HEADERDATA, CURLOPT_READDATA, CURLOPT_SEEKDATA, CURLOPT_PREREQDATA,
            CURLOPT_OPENSOCKETDATA,
        ] {
            tg_curl_set_pointer(easy, option, context)
        }
        tg_curl_set_open_callback(easy) { context, _, address in
            guard let address, let transfer = CurlOptions.transfer(context) else { return CURL_SOCKET_BAD }
            return transfer.openSocket(address)
        }
        tg_curl_set_pointer(easy, CURLOPT_ERRORBUFFER, errorText)
        tg_curl_set_data_callback(easy, CURLOPT_HEADERFUNCTION) { data, size, count, context in
            guard let transfer = CurlOptions.transfer(context) else { return 0 }
            let line = UnsafeRawBufferPointer(start: data, count: size * count)
            return transfer.didReceiveLine(line) ? line.count : 0
        }
        tg_curl_set_data_callback(easy, CURLOPT_WRITEFUNCTION) { data, size, count, context in
            guard let transfer = CurlOptions.transfer(context) else { return 0 }
            let bytes = UnsafeRawBufferPointer(start: data, count: size * count)
            return switch transfer.didReceiveBody(bytes) {
            case .taken: bytes.count
            case .later: Int(CURL_WRITEFUNC_PAUSE)
            // Anything but the count, which may be 0, ends the transfer.
            case .stop: bytes.isEmpty ? 1 : 0
            }
        }
        tg_curl_set_data_callback(easy, CURLOPT_READFUNCTION) { data, size, count, context in
            guard let transfer = CurlOptions.transfer(context) else { return Int(CURL_READFUNC_ABORT) }
            return transfer.readBody(into: UnsafeMutableRawBufferPointer(start: data, count: size * count))
        }
        tg_curl_set_seek_callback(easy) { context, offset, origin in
            guard origin == SEEK_SET, let transfer = CurlOptions.transfer(context) else { return CURL_SEEKFUNC_FAIL }
            return transfer.rewindBody(to: offset) ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL
        }
        tg_curl_set_prereq_callback(easy) { context, _, _, _, _ in
            CurlOptions.transfer(context)?.willSend() == true ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
        }
    }

    private static func transfer(_ context: UnsafeMutableRawPointer?) -> CurlTransfer? {
        context.map { Unmanaged<CurlTransfer>.fromOpaque($0).takeUnretainedValue() }
    }

    // MARK: Setting

    private func set(_ option: CURLoption, _ value: Int) throws {
        try check(tg_curl_set_long(easy, option, value))
    }

    private func set(_ option: CURLoption, _ value: String) throws {
        try check(tg_curl_set_string(easy, option, value))
    }

    private func check(_ code: CURLcode) throws {
        guard code == CURLE_OK else {
            throw FetchError.connect(detail: String(cString: curl_easy_strerror(code)))
        }
    }

    /// What cannot end the host part of a URL, or begin another part of it.
    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "["),
            UInt8(ascii: "]"):
            true
        default: false
        }
    }
}
