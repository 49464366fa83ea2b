package import Reactor
package import TLS

/// An HTTP/1.1 and HTTP/2 server on one loop: h2c by preface, h2 by ALPN on TLS.
package final class HTTPServer {
    package typealias Handler = (ServerExchange) async -> Void

    let loop: EventLoop
    let handlers: HandlerTasks
    /// A change holds for what begins after it.
    package var limits: HTTPServerLimits
    /// What the bodies of all requests may take together, until their exchanges have ended; nil for no bound.
    package var bodyBudget: ByteBudget?
    /// Says what callers get whose requests never reach the handler.
    package var faultAnswer: (ProtocolFault) -> FaultAnswer = FaultAnswer.plain
    private var listeners: [TCPListener] = []
    private var connections: [ObjectIdentifier: any ServerConnection] = [:]
    private(set) var isDraining = false
    private var drains: [Promise<Void>] = []
    private var date = DateLine()
    /// Where heads are put together; empty between uses.
    var scratch: [UInt8] = []

    package init(_ loop: EventLoop, limits: HTTPServerLimits, handler: @escaping Handler) {
        self.loop = loop
        self.limits = limits
        handlers = HandlerTasks(loop, handler: handler)
    }

    deinit { handlers.close() }

    /// Starts to listen; may be called for several addresses. Returns the bound address (the port when 0 was asked).
    package func listen(
        on address: SocketAddress,
        sharesPort: Bool = false,
        tls: TLSContext? = nil
    ) throws -> SocketAddress {
        let count = ConnectionCount()
        // The listener is ours alone and stops with us: the count must not keep it.
        let listener = try TCPListener(loop, on: address, sharesPort: sharesPort) { [unowned self] stream in
            accept(stream, count, tls: tls)
        }
        listeners.append(listener)
        return listener.address
    }

    package var openConnections: Int { connections.count }
    /// Requests whose answers are not finished.
    package private(set) var openExchanges = 0

    /// Stops accepting, tells callers to go elsewhere (`connection: close`, GOAWAY), waits until exchanges under way
    /// have ended or `deadline` has passed, then cuts what is left. Returns true when nothing had to be cut.
    package func drain(deadline: Duration) async -> Bool {
        isDraining = true
        for listener in listeners { listener.close() }
        listeners = []
        for connection in Array(connections.values) { connection.drain() }
        if !connections.isEmpty {
            let done = Promise<Void>()
            drains.append(done)
            let timer = loop.schedule(after: deadline) { done.succeed(()) }
            try? await done.wait()
            timer.stop()
        }
        let rest = Array(connections.values)
        for connection in rest { connection.cut() }
        return rest.isEmpty
    }

    /// Open connections that came through one listener.
    private final class ConnectionCount {
        var open = 0
    }

    private func accept(_ socket: TCPStream, _ count: ConnectionCount, tls: TLSContext?) {
        guard count.open < limits.connections else { return socket.abort() }
        count.open += 1
        serve(tls?.accept(socket) ?? socket, isTLS: tls != nil) { count.open -= 1 }
    }

    /// Speaks HTTP on a connection that somebody has accepted.
    func serve(_ stream: any ByteStream, isTLS: Bool, onEnd: @escaping () -> Void) {
        let link = ConnectionLink(self, stream, isTLS: isTLS, onEnd: onEnd)
        let opening = OpeningConnection(link)
        link.hand(to: opening)
        stream.setReading(true)
        opening.start()
    }

    // MARK: For connections

    var today: [UInt8] { date.current() }

    /// Registers a connection, or what it has become after its protocol was known.
    func connection(_ link: ConnectionLink, isNow connection: any ServerConnection) {
        connections[ObjectIdentifier(link)] = connection
    }

    func connectionDidEnd(_ link: ConnectionLink) {
        connections[ObjectIdentifier(link)] = nil
        guard connections.isEmpty, !drains.isEmpty else { return }
        for drain in drains { drain.succeed(()) }
        drains = []
    }

    func exchangeDidStart() { openExchanges += 1 }
    func exchangeDidEnd() { openExchanges -= 1 }
}

/// A connection as the server sees it.
protocol ServerConnection: ByteStreamHandler, DeadlineOwner {
    /// Ends when what is under way has ended; at once when nothing is.
    func drain()
    /// Ends now.
    func cut()
}
