package import HTTPServing
import Reactor
import Redis
import Telemetry

/// The end of a serving loop.
package enum WorkerDrain {
    /// For settlements to reach Redis, whatever the limit for streams is.
    private static let settlementTime = Duration.seconds(5)
    /// A sink that is there and takes nothing for so long is as good as away.
    private static let refusalTime = Duration.seconds(60)
    private static let look = Duration.milliseconds(5)

    /// Ends when nothing is left to do, or the time is up: streams have `limit`, settlements at least some seconds more,
    /// and records that this worker alone has as long as somebody is there to take them.
    package static func run(_ context: WorkerContext, _ server: HTTPServer, _ limit: Duration) async {
        let streamsEnd = MonotonicTime.now + limit
        _ = await server.drain(deadline: limit)
        while context.openCalls > 0, MonotonicTime.now < streamsEnd { await context.loop.sleep(look) }
        context.drains.close()
        let settled = MonotonicTime.now + max(limit, settlementTime)
        while context.openCalls > 0 || isUnsettled(context), MonotonicTime.now < settled {
            await context.loop.sleep(look)
        }
        await handIn(context)
        await context.journal?.flush(on: context.loop)
        let outbox = context.outbox
        guard outbox.held > 0 else { return }
        let count: LogValue = .integer(Int64(outbox.held))
        if outbox.isSafe {
            context.log.warning(
                "ended with usage records in the journal: the next start hands them in",
                ["count": count]
            )
        } else {
            context.log.error("ended with unsettled calls", ["count": count])
        }
    }

    /// Without Redis only records count: what else calls hold there ends by itself.
    private static func isUnsettled(_ context: WorkerContext) -> Bool {
        let outbox = context.outbox
        if context.redis.isConnected { return outbox.unsettled > 0 }
        // What is in the journal need not be waited for when nobody can take it.
        return outbox.held > 0 && (outbox.isSinkReachable || !outbox.isSafe)
    }

    private static func handIn(_ context: WorkerContext) async {
        var held = context.outbox.held
        var lastMove = MonotonicTime.now
        while context.outbox.held > 0, context.outbox.isSinkReachable, lastMove.elapsed < refusalTime {
            await context.loop.sleep(look)
            guard context.outbox.held != held else { continue }
            held = context.outbox.held
            lastMove = .now
        }
    }
}
