import Dialects
import HTTPServing
import Reactor
import Telemetry

/// A streaming call whose upstream is still silent: keeps its caller's connection alive meanwhile.
///
/// A keep-alive commits status 200 but is no content: failover goes on after it, and a refusal becomes an error event.
final class PendingStream: SilentStream {
    private let call: Call
    private(set) var lastHeard: MonotonicTime
    private(set) var hasKeptAlive = false

    init(_ call: Call) {
        self.call = call
        lastHeard = call.exchange.startedAt
        resume()
    }

    func resume() { call.context.silence.add(self) }
    func stop() { call.context.silence.remove(self) }

    func keepAlive() {
        guard call.exchange.pendingBytes == 0 else { return }
        call.startOwnStream()
        call.exchange.write(call.wire.keepAlive)
        call.context.metrics.keepAlives.add()
        lastHeard = .now
        hasKeptAlive = true
    }
}
