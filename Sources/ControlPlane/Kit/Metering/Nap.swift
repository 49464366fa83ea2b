package import Reactor

/// A sleep that can be cut short.
package final class Nap {
    private let loop: EventLoop
    private var promise: Promise<Void>?
    private var isCut = false

    package init(_ loop: EventLoop) { self.loop = loop }

    /// Sleeps, or returns at once after `cut`.
    package func sleep(_ time: Duration) async {
        guard !isCut else { return }
        let promise = Promise<Void>()
        self.promise = promise
        let timer = loop.schedule(after: time) { promise.succeed(()) }
        try? await promise.wait()
        timer.stop()
        self.promise = nil
    }

    /// Ends the current sleep and all later ones.
    package func cut() {
        isCut = true
        promise?.succeed(())
    }
}
