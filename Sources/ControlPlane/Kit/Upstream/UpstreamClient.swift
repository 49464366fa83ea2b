import Decisions
package import HTTPFetching
package import HTTPMessages
import Providers
package import Reactor

/// Why the control plane got no answer from an upstream.
package enum UpstreamFailure: Error, Equatable, CustomStringConvertible {
    /// No http(s) URL, or one of an address that nothing an admin enters may lead to. What is wrong with it.
    case refusedURL(String)
    /// The proxy cannot be used; the upstream is never asked directly then, because it would see our own address.
    case proxyUnusable
    /// No connection: the request was not sent.
    case unreachable(detail: String)
    /// The deadline has passed. The upstream may have acted on the request.
    case timedOut
    /// Broken off after the request was sent, or an answer that is none. The upstream may have acted on the request.
    case broken(detail: String)
    /// The answer is larger than was asked for.
    case tooLarge

    /// Whether the upstream surely knows nothing of the request.
    package var isUnsent: Bool {
        switch self {
        case .refusedURL, .proxyUnusable, .unreachable: true
        case .timedOut, .broken, .tooLarge: false
        }
    }

    /// For admins and logs: names hosts, never what was sent.
    package var description: String {
        switch self {
        case .refusedURL(let fault): "The URL \(fault)."
        case .proxyUnusable: "The proxy cannot be used: its password does not open with the present master keys."
        case .unreachable(let detail): "No connection: \(detail)."
        case .timedOut: "No answer in time."
        case .broken(let detail): "The answer broke off: \(detail)."
        case .tooLarge: "The answer is too large."
        }
    }

    init(_ error: FetchError) {
        switch error {
        case .connect(let detail): self = .unreachable(detail: detail)
        case .connectTimedOut: self = .unreachable(detail: "timed out")
        case .notProcessed, .cancelled: self = .unreachable(detail: "given up")
        case .firstByteTimedOut, .idleTimedOut, .totalTimedOut: self = .timedOut
        case .connectionLost(let detail), .protocolViolation(let detail): self = .broken(detail: detail)
        case .bodyTooLarge: self = .tooLarge
        }
    }
}

/// One request of the control plane to an upstream.
package struct UpstreamQuestion {
    package var method: String
    /// `http` or `https`, with or without a query.
    package var url: String
    package var headers: HeaderFields
    package var body: [UInt8]
    package var proxy: ProxyServer?
    /// From the start to the end of the answer, the wait for a connection included.
    package var deadline: Duration
    /// The most bytes that the answer's body may have.
    package var answerLimit: Int
    /// Questions of different accounts never share a connection.
    package var isolation: Int64?

    package init(
        _ method: String,
        _ url: String,
        headers: HeaderFields = [:],
        body: [UInt8] = [],
        through proxy: ProxyServer? = nil,
        isolation: Int64? = nil,
        within deadline: Duration = .seconds(30),
        answerLimit: Int = 1 << 20
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.proxy = proxy
        self.isolation = isolation
        self.deadline = deadline
        self.answerLimit = answerLimit
    }
}

package struct UpstreamReply {
    package let status: Int
    package let headers: HeaderFields
    package let body: [UInt8]
}

/// The control plane's way out: token endpoints, probes, tests. Off the hot path, so libcurl carries all of it.
///
/// Redirects are not followed: they could lead anywhere. Answers come uncompressed, unless an upstream ignores that it
/// was not asked to compress. Addresses behind which clouds keep their secrets are refused twice: in the URL, also when
/// a proxy would look its host up, and where a name leads to.
package final class UpstreamClient {
    private static let connectTime = Duration.seconds(10)
    package let loop: EventLoop
    private let client: CurlClient

    /// - Parameter authorityFile: extra trust anchors in PEM.
    /// - Throws: `FetchError.connect`, when libcurl cannot be used.
    package init(_ loop: EventLoop, authorityFile: String? = nil) throws {
        self.loop = loop
        var options = HTTPClient.Options()
        options.authorityFile = authorityFile
        options.idleConnectionLifetime = .seconds(30)
        options.refuses = { ForbiddenAddresses.contains($0.bytes) }
        client = try CurlClient(loop, options: options)
    }

    /// Asks, and reads the whole answer.
    package func ask(_ question: UpstreamQuestion) async throws(UpstreamFailure) -> UpstreamReply {
        let response = try await open(question)
        do {
            let body = try await response.collect(limit: question.answerLimit)
            return UpstreamReply(status: response.head.status, headers: response.head.headers, body: body)
        } catch {
            throw Self.failure(error)
        }
    }

    /// Asks, and returns when the answer's head is there; the body is the caller's to read, within the same deadline.
    package func open(_ question: UpstreamQuestion) async throws(UpstreamFailure) -> FetchResponse {
        let request = try Self.request(question)
        do {
            return try await client.send(request, through: question.proxy)
        } catch {
            throw Self.failure(error)
        }
    }

    package func close() { client.close() }

    private static func failure(_ error: any Error) -> UpstreamFailure {
        (error as? FetchError).map { UpstreamFailure($0) } ?? .broken(detail: "\(error)")
    }

    private static func request(_ question: UpstreamQuestion) throws(UpstreamFailure) -> FetchRequest {
        let parts = question.url.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let address = parts.first.map(String.init) ?? ""
        if let fault = UpstreamURL.fault(in: address) { throw .refusedURL(fault) }
        let query = parts.count > 1 ? String(parts[1]) : ""
        guard let target = UpstreamTarget(baseURL: address), query.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }),
            !query.contains("#")
        else { throw .refusedURL("cannot be read") }
        // `UpstreamTarget` drops slashes at the end, which a path may need.
        let slash = address.hasSuffix("/") ? "/" : ""
        var head = HTTPRequestHead(
            method: question.method,
            target: target.basePath + (target.basePath.isEmpty ? "/" : slash) + (query.isEmpty ? "" : "?\(query)"),
            headers: question.headers
        )
        head.headers.set("host", target.authority)
        var timeouts = FetchTimeouts()
        timeouts.connect = min(Self.connectTime, question.deadline)
        timeouts.firstByte = question.deadline
        timeouts.idle = question.deadline
        timeouts.total = question.deadline
        let endpoint = Endpoint(
            isTLS: target.isTLS,
            host: target.host,
            port: target.port,
            isolation: question.isolation
        )
        return FetchRequest(to: endpoint, head, body: question.body, timeouts: timeouts)
    }
}
