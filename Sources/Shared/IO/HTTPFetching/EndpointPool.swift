import HTTPMessages
import Reactor

/// The connections to one endpoint, and the exchanges that wait for one.
///
/// HTTP/2: while a first connection is being made, further requests wait for it; another is opened when those there
/// are are full. HTTP/1.1: a connection for each exchange under way, kept for the next.
final class EndpointPool {
    let endpoint: Endpoint
    let authority: String
    let core: ClientCore

    private var waiting: [Exchange] = []
    private var http2: [HTTP2Connection] = []
    private var idleHTTP1: [HTTP1Connection] = []
    /// Of either version, idle ones included.
    private var connections = 0
    private var attempts = 0
    /// What the last connection spoke.
    private var version: HTTPVersion?
    /// What the last peer allowed at a time.
    private(set) var streamLimit: Int

    init(_ endpoint: Endpoint, in core: ClientCore) {
        self.endpoint = endpoint
        self.core = core
        authority = endpoint.authority
        streamLimit = core.options.streamsPerConnection
        switch endpoint.wireProtocol {
        case .http1: version = .http1
        case .http2: version = .http2
        case .auto: version = endpoint.isTLS ? nil : .http1
        }
    }

    var loop: EventLoop { core.loop }
    var options: HTTPClient.Options { core.options }
    var deadlines: DeadlineQueue { core.deadlines }
    var isClosed: Bool { core.isClosed }
    var nextSerial: UInt64 { core.nextSerial }

    // MARK: Exchanges

    /// Gives the exchange to a connection, now or when there is one.
    func enqueue(_ exchange: Exchange) {
        if waiting.isEmpty, assign(exchange, now: exchange.activity) { return }
        waiting.append(exchange)
        exchange.mustWait()
        connectIfNeeded()
    }

    func stopWaiting(_ exchange: Exchange) { waiting.removeAll { $0 === exchange } }

    func didEnd(_ exchange: Exchange) { core.openExchanges -= 1 }

    /// Gives waiting exchanges to the connections that have room.
    func serve() {
        guard !waiting.isEmpty else { return }
        let now = MonotonicTime.now
        let candidates = waiting
        waiting = []
        var left: [Exchange] = []
        for exchange in candidates where !assign(exchange, now: now) { left.append(exchange) }
        waiting.insert(contentsOf: left, at: 0)
        connectIfNeeded()
    }

    private func assign(_ exchange: Exchange, now: MonotonicTime) -> Bool {
        var index = 0
        while index < http2.count {
            let connection = http2[index]
            if connection.serial >= exchange.minimumSerial, connection.room > 0, connection.checkHealth(now: now) {
                if connection.start(exchange, now: now) { return true }
                // It has retired and left the list.
            } else {
                index += 1
            }
        }
        guard let index = idleHTTP1.lastIndex(where: { $0.serial >= exchange.minimumSerial }) else { return false }
        idleHTTP1.remove(at: index).start(exchange, now: now)
        return true
    }

    // MARK: Connections

    func streamLimitDidChange(_ connection: HTTP2Connection) {
        streamLimit = max(1, connection.streamLimit)
        serve()
    }

    func connectionDidRetire(_ connection: HTTP2Connection) {
        http2.removeAll { $0 === connection }
        if !waiting.isEmpty { connectIfNeeded() }
    }

    func connectionIsIdle(_ connection: HTTP1Connection) {
        idleHTTP1.append(connection)
        serve()
        if isClosed { connection.retire() }
    }

    func connectionIsNoLongerIdle(_ connection: HTTP1Connection) { idleHTTP1.removeAll { $0 === connection } }

    func connectionDidClose() {
        connections -= 1
        core.openConnections -= 1
        releaseIfUnused()
    }

    /// Closes what is idle; the rest closes when it ends.
    func close() {
        for connection in http2 { connection.retire() }
        for connection in idleHTTP1 { connection.retire() }
        releaseIfUnused()
    }

    private func releaseIfUnused() {
        guard connections == 0, attempts == 0, waiting.isEmpty else { return }
        core.forget(self)
    }

    // MARK: Connecting

    private func connectIfNeeded() {
        // What will be free without another connection: attempts under way, and connections being checked.
        let perAttempt = version == .http1 ? 1 : streamLimit
        var coming = http2.reduce(0) { $0 + ($1.isBeingChecked ? $1.room : 0) }
        // A server that has not said what it speaks gets one connection first.
        guard version != nil || attempts == 0 else { return }
        coming += attempts * perAttempt
        while coming < waiting.count {
            connect(within: waiting[coming].request.timeouts.connect)
            coming += perAttempt
            if version == nil { return }
        }
    }

    private func connect(within budget: Duration) {
        attempts += 1
        loop.spawn { [self] in
            let outcome: Result<any ByteStream, FetchError>
            do throws(FetchError) {
                outcome = .success(try await core.dial(endpoint, within: budget))
            } catch {
                outcome = .failure(error)
            }
            attempts -= 1
            switch outcome {
            case .success(let stream): didConnect(stream)
            case .failure(let error): didNotConnect(error)
            }
            releaseIfUnused()
        }
    }

    func didConnect(_ stream: any ByteStream) {
        let isHTTP2 =
            endpoint.isTLS ? stream.negotiatedProtocol == "h2" : endpoint.wireProtocol == .http2
        version = isHTTP2 ? .http2 : .http1
        let serial = core.takeSerial()
        if isHTTP2 {
            do {
                let connection = try HTTP2Connection(stream, in: self, serial: serial)
                didOpen()
                http2.append(connection)
                serve()
            } catch {
                stream.abort()
                didNotConnect(.connect(detail: "\(error)"))
            }
        } else {
            didOpen()
            connectionIsIdle(HTTP1Connection(stream, in: self, serial: serial))
        }
    }

    private func didOpen() {
        connections += 1
        core.openConnections += 1
    }

    /// HTTP/1.1: one exchange gets the error, the others have their own attempts. HTTP/2: all waited for this
    /// connection, unless others are there that may still take them.
    private func didNotConnect(_ error: FetchError) {
        guard !waiting.isEmpty else { return }
        if version == .http1 {
            waiting.removeFirst().didEnd(error)
            connectIfNeeded()
        } else {
            let candidates = waiting
            waiting = []
            for exchange in candidates {
                if http2.contains(where: { $0.serial >= exchange.minimumSerial }) {
                    waiting.append(exchange)
                } else {
                    exchange.didEnd(error)
                }
            }
        }
    }
}
