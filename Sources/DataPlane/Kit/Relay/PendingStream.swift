import Dialects
import HTTPServing
import Reactor
import Telemetry

/// A streaming call whose upstream is still silent: keeps its caller's connection alive meanwhile.
///
/// A keep-alive commits status 200 but is no content: failover goes on after it, and a refusal becomes an error event.
final class PendingStream: SilentStream {
    private let call: Call

    init(_ call: Call) {
        self.call = call
        resume()
    }

    var silence: CallerSilence { call.silence }

    func resume() { call.context.silence.add(self) }
    func stop() { call.context.silence.remove(self) }

    func keepAlive() { call.keepAlive() }
}

extension Call {
    /// Lets the caller of a stream hear that the call goes on.
    func keepAlive() {
        // One that has not taken what it has would not hear it either.
        guard exchange.pendingBytes == 0 else { return }
        startOwnStream()
        exchange.write(wire.keepAlive)
        context.metrics.keepAlives.add()
        silence.keptAlive(at: .now)
    }
}
