import Reactor
import TLS

/// Opens connections that are ready for commands.
final class RedisConnector {
    private let loop: EventLoop
    private let configuration: RedisConfiguration
    /// Made at the first connection: reading the trust anchors takes milliseconds.
    private var tls: TLSContext?

    init(_ loop: EventLoop, _ configuration: RedisConfiguration) {
        self.loop = loop
        self.configuration = configuration
    }

    /// Resolves the name, tries its addresses in order, then TLS if wanted, AUTH, SELECT and CLIENT SETNAME.
    ///
    /// - Throws: what the last address failed with; `RedisError.server` when Redis refuses us or is still loading.
    func connect() async throws -> RedisConnection {
        var failure: any Error = ConnectError.noAddress
        let addresses = try await loop.resolve(
            configuration.host,
            port: configuration.port,
            timeout: configuration.connectTimeout
        )
        for address in addresses {
            do {
                let stream = try await open(address)
                let connection = RedisConnection(loop, stream, timeout: configuration.commandTimeout)
                do {
                    try await introduce(connection)
                    return connection
                } catch {
                    connection.close()
                    throw error
                }
            } catch {
                failure = error
            }
        }
        throw failure
    }

    private func open(_ address: SocketAddress) async throws -> any ByteStream {
        let stream = try await TCPStream.connect(loop, to: address, timeout: configuration.connectTimeout)
        guard configuration.isTLS else { return stream }
        do {
            let context = try tls ?? TLSContext.client(alpn: [], authorityFile: configuration.authorityFile)
            tls = context
            return try await context.connect(
                stream,
                serverName: configuration.host,
                timeout: configuration.connectTimeout
            )
        } catch {
            stream.abort()
            throw error
        }
    }

    /// Sends the greeting in one write. PING comes last: a Redis that is loading, or a replica without its master,
    /// answers it with an error.
    private func introduce(_ connection: RedisConnection) async throws {
        let done = Promise<Void>()
        var refusal: RedisError?
        func require(_ result: Result<RedisValue, RedisError>) {
            if case .failure(let error) = result, refusal == nil { refusal = error }
        }
        if let password = configuration.password {
            let user = configuration.username.map { [$0] } ?? []
            connection.send(RedisCommand(["AUTH"] + user + [password]), require)
        }
        if configuration.database != 0 {
            connection.send(RedisCommand(["SELECT", "\(configuration.database)"]), require)
        }
        // The name is for people only; an ACL may forbid it.
        connection.send(RedisCommand(["CLIENT", "SETNAME", configuration.clientName])) { _ in }
        connection.send(RedisCommand("PING")) { result in
            if case .failure(let error) = result, error.serverCode != "NOPERM" { require(.failure(error)) }
            done.fulfil(refusal.map { .failure($0) } ?? .success(()))
        }
        try await done.wait()
    }
}
