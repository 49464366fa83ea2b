import Reactor
import TLS

/// What the pools of one client share.
final class ClientCore {
    let loop: EventLoop
    let options: HTTPClient.Options
    let deadlines: DeadlineQueue
    private let tls: TLSContext
    private let names: NameCache
    private var pools: [Endpoint: EndpointPool] = [:]
    /// The one asked for last: calls to one upstream follow each other, and comparing is cheaper than hashing.
    private var lastPool: EndpointPool?
    private(set) var nextSerial: UInt64 = 1
    private(set) var isClosed = false
    var openConnections = 0
    var openExchanges = 0

    init(_ loop: EventLoop, _ options: HTTPClient.Options) throws {
        self.loop = loop
        self.options = options
        deadlines = DeadlineQueue(loop)
        names = NameCache(loop)
        tls = try .client(alpn: [], authorityFile: options.authorityFile)
    }

    func takeSerial() -> UInt64 {
        defer { nextSerial += 1 }
        return nextSerial
    }

    func pool(for endpoint: Endpoint) -> EndpointPool {
        if let lastPool, lastPool.endpoint == endpoint { return lastPool }
        let pool = pools[endpoint] ?? EndpointPool(endpoint, in: self)
        pools[endpoint] = pool
        lastPool = pool
        return pool
    }

    func forget(_ pool: EndpointPool) {
        if pools[pool.endpoint] === pool { pools[pool.endpoint] = nil }
        if lastPool === pool { lastPool = nil }
    }

    func close() {
        isClosed = true
        for pool in Array(pools.values) { pool.close() }
    }

    // MARK: Connecting

    /// Opens a connection: name, TCP to the first address that answers, TLS with the protocol agreed.
    func dial(_ endpoint: Endpoint, within budget: Duration) async throws(FetchError) -> any ByteStream {
        let end = MonotonicTime.now + budget
        do {
            let tcp = try await connect(to: endpoint, until: end)
            guard endpoint.isTLS else { return tcp }
            let offered: [String]
            switch endpoint.wireProtocol {
            case .auto: offered = ["h2", "http/1.1"]
            case .http1: offered = ["http/1.1"]
            case .http2: offered = ["h2"]
            }
            let left = max(end - .now, .milliseconds(1))
            let stream = try await tls.connect(
                tcp,
                serverName: endpoint.host,
                timeout: left,
                alpn: offered,
                isolation: endpoint.isolation
            )
            guard endpoint.wireProtocol != .http2 || stream.negotiatedProtocol == "h2" else {
                stream.close()
                throw FetchError.connect(detail: "no HTTP/2 by ALPN")
            }
            return stream
        } catch let error as FetchError {
            throw error
        } catch ConnectError.timedOut {
            throw .connectTimedOut
        } catch {
            throw .connect(detail: "\(error)")
        }
    }

    /// Tries the addresses in the resolver's order; one that does not answer leaves time for the rest.
    private func connect(to endpoint: Endpoint, until end: MonotonicTime) async throws -> TCPStream {
        var addresses = try await names.addresses(of: endpoint.host, port: endpoint.port)
        // What is looked at here is what is connected to: a name cannot mean something else in between.
        if let refuses = options.refuses { addresses.removeAll(where: refuses) }
        var failure: any Error = ConnectError.noAddress
        for (index, address) in addresses.enumerated() {
            let left = end - .now
            guard left > .zero else { throw ConnectError.timedOut }
            do {
                return try await TCPStream.connect(loop, to: address, timeout: left / (addresses.count - index))
            } catch {
                failure = error
            }
        }
        throw failure
    }
}
