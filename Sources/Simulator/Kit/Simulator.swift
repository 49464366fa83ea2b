import Formats
import HTTPMessages
import HTTPServing
package import Reactor
package import TLS
import Telemetry

/// The provider simulator: a server that answers as the providers do, and as they do when something is wrong.
package final class Simulator {
    package let log = RequestLog()

    private let platforms = PlatformRegistry.all()
    private let parser = JSONParser()
    private var state = SimulatorState()
    private var server: HTTPServer?
    private var runners: [Int: PlanRunner] = [:]

    /// Bytes of answers that were written for calls under way.
    package var bytesOnTheWay: Int { runners.values.reduce(0) { $0 + $1.bytesSent } }

    /// Starts to serve on a loop; `listen` opens its ports.
    package init(_ loop: EventLoop) {
        // Connections keep the server alive, and may outlive the simulator: they are answered 500 then.
        server = HTTPServer(loop, limits: Self.limits) { [weak self] exchange in await self?.answer(exchange) }
    }

    /// Opens a port: HTTP/1.1 and h2c, or TLS. Returns the bound address.
    package func listen(on address: SocketAddress, tls: TLSContext? = nil) throws -> SocketAddress {
        guard let server else { return address }
        return try server.listen(on: address, tls: tls)
    }

    /// A test may be slow on purpose, so no caller is cut off for that.
    private static var limits: HTTPServerLimits {
        var limits = HTTPServerLimits()
        limits.headerBytes = 256 * 1024
        limits.bodyBytes = 64 << 20
        limits.headerTimeout = .seconds(60)
        limits.bodyIdleTimeout = .seconds(300)
        limits.bodyTimeout = .seconds(600)
        limits.keepAliveTimeout = .seconds(600)
        limits.writeStallTimeout = .seconds(3600)
        limits.concurrentStreams = 4096
        limits.connections = 65_536
        return limits
    }

    private func answer(_ exchange: ServerExchange) async {
        let path = exchange.request.path
        if path.hasPrefix(ControlAPI.prefix) { return await control(exchange) }
        if path == "/health/live" || path == "/health/ready" {
            return exchange.respond(
                HTTPResponseHead(status: 200, headers: ["content-type": "application/json"]),
                body: JSONWriter.object { $0.member("status", "ok") }
            )
        }
        guard let platform = platforms.first(where: { $0.serves(exchange.request) }) else {
            return exchange.respond(
                HTTPResponseHead(status: 404, headers: ["content-type": "application/json"]),
                body: JSONWriter.object { $0.member("error", "no platform serves this path") }
            )
        }
        let receivedAt = WallClock.microseconds
        guard let body = await body(of: exchange, limit: platform.bodyLimit) else { return }
        let sequence = state.nextSequence()
        let plan = platform.answer(
            SimulatedCall(
                head: exchange.request,
                body: body.isWhole ? body.bytes : nil,
                sequence: sequence,
                now: receivedAt
            ),
            &state,
            parser
        )
        let record = RequestRecord(
            id: sequence,
            head: exchange.request,
            body: body.bytes,
            credential: platform.credential(of: exchange.request),
            version: exchange.version,
            isTLS: exchange.isTLS,
            receivedAt: receivedAt,
            plan: plan
        )
        log.open(record)
        let runner = PlanRunner(plan, on: exchange)
        runners[sequence] = runner
        let end = await runner.run()
        runners[sequence] = nil
        log.close(
            record,
            end,
            bytesSent: runner.bytesSent,
            usage: plan.usage(after: runner.bytesSent),
            now: WallClock.microseconds
        )
    }

    private func control(_ exchange: ServerExchange) async {
        guard let body = await body(of: exchange, limit: ControlAPI.bodyLimit) else { return }
        let plan = ControlAPI(log: log, parser: parser).answer(exchange.request, body: body.bytes, &state)
        _ = await PlanRunner(plan, on: exchange).run()
    }

    /// Nil when the caller is gone; not whole when it exceeds the limit.
    private func body(of exchange: ServerExchange, limit: Int) async -> (bytes: [UInt8], isWhole: Bool)? {
        do {
            return (try await exchange.collectBody(limit: limit), true)
        } catch RequestBodyError.tooLarge {
            return ([], false)
        } catch RequestBodyError.timedOut {
            exchange.respond(HTTPResponseHead(status: 408), body: [])
            return nil
        } catch {
            return nil
        }
    }
}
