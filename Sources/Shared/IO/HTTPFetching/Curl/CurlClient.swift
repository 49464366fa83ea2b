import CCurl
package import Reactor

/// A proxy between us and an upstream.
package struct ProxyServer: Hashable, Sendable {
    package enum Scheme: String, Hashable, Sendable {
        case http
        /// TLS to the proxy itself.
        case https
        /// The proxy looks the upstream's name up.
        case socks5
    }
    package var scheme: Scheme
    package var host: String
    package var port: UInt16
    package var username: String?
    package var password: String?

    package init(_ scheme: Scheme, host: String, port: UInt16, username: String? = nil, password: String? = nil) {
        self.scheme = scheme
        self.host = host
        self.port = port
        self.username = username
        self.password = password
    }
}

/// Upstream HTTP through libcurl: for requests that go through a proxy, and those off the hot path.
///
/// HTTP/1.1 unless `.http2` is asked for, because only there a paused reader stops the upstream at once; and HTTP/2 only
/// over TLS, because libcurl 7.88 fails on the second request of a prior-knowledge connection.
package final class CurlClient {
    struct Settings {
        var authorityFile: String?
        var windowPerStream: Int
        var idleConnectionLifetime: Duration
        var refuses: (@Sendable (SocketAddress) -> Bool)?
    }
    private let loop: EventLoop
    private let settings: Settings
    private let deadlines: DeadlineQueue
    /// Connections are shared within a group, and a group is the requests of one isolation tag.
    private var groups: [Int64?: CurlGroup] = [:]
    private var isClosed = false

    // Thread-safe, once a process, before the first handle.
    private static let isReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    /// - Throws: `FetchError.connect`, when libcurl cannot be used.
    package init(_ loop: EventLoop, options: HTTPClient.Options = .init()) throws {
        guard Self.isReady else { throw FetchError.connect(detail: "libcurl") }
        self.loop = loop
        settings = Settings(
            authorityFile: options.authorityFile,
            windowPerStream: options.windowPerStream,
            idleConnectionLifetime: options.idleConnectionLifetime,
            refuses: options.refuses
        )
        deadlines = DeadlineQueue(loop)
    }

    deinit { close() }

    /// Sends the request, through the proxy if there is one, and returns when the answer's head is there. 1xx answers
    /// are swallowed, 101 is an error.
    ///
    /// - Parameter canceller: gives up the request from outside while this waits.
    /// - Throws: `FetchError`.
    package func send(
        _ request: FetchRequest,
        through proxy: ProxyServer? = nil,
        canceller: FetchCanceller? = nil
    ) async throws -> FetchResponse {
        guard canceller?.isCancelled != true else { throw FetchError.cancelled }
        guard !isClosed else { throw FetchError.connect(detail: "client closed") }
        let group = try group(for: request.endpoint.isolation)
        let transfer = try CurlTransfer(request, through: proxy, settings, deadlines)
        canceller?.attach(transfer)
        try group.start(transfer)
        return try await transfer.response()
    }

    private func group(for tag: Int64?) throws -> CurlGroup {
        if let group = groups[tag] { return group }
        let group = try CurlGroup(loop, deadlines, idleLifetime: settings.idleConnectionLifetime) { [weak self] in
            self?.groups[tag] = nil
        }
        groups[tag] = group
        return group
    }

    /// Requests from `send` to the end of their answers.
    package var openExchanges: Int { groups.values.reduce(0) { $0 + $1.count } }
    /// Sockets that libcurl has us watch: those of requests under way.
    package var watchedSockets: Int { groups.values.reduce(0) { $0 + $1.watchedSockets } }

    /// Closes idle connections now and the others when what is under way has ended.
    package func close() {
        isClosed = true
        for group in groups.values { group.retire() }
    }
}
