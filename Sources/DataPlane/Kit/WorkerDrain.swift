package import HTTPServing
import Reactor
import Telemetry

/// The end of a serving loop.
package enum WorkerDrain {
    /// For settlements to reach Redis, whatever the limit for streams is.
    private static let settlementTime = Duration.seconds(5)
    private static let look = Duration.milliseconds(5)

    /// Ends when nothing is left to do, or the time is up: streams have `limit`, settlements at least some seconds more.
    package static func run(_ context: WorkerContext, _ server: HTTPServer, _ limit: Duration) async {
        let streamsEnd = MonotonicTime.now + limit
        _ = await server.drain(deadline: limit)
        while context.openCalls > 0, MonotonicTime.now < streamsEnd { await context.loop.sleep(look) }
        context.drains.close()
        let settled = MonotonicTime.now + max(limit, settlementTime)
        while context.openCalls > 0 || context.outbox.unsettled > 0, MonotonicTime.now < settled {
            await context.loop.sleep(look)
        }
        if context.outbox.unsettled > 0 {
            context.log.error(
                "ended with unsettled calls",
                ["count": .integer(Int64(context.outbox.unsettled))]
            )
        }
    }
}
