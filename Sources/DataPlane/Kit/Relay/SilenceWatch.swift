package import Reactor

/// A stream whose caller must hear something now and then.
package protocol SilentStream: AnyObject {
    /// When the caller last got a byte, or the call began.
    var lastHeard: MonotonicTime { get }
    var hasKeptAlive: Bool { get }
    func keepAlive()
}

/// Sends keep-alives into silent streams: after 10 s of silence, then every 15 s.
///
/// One timer walks over all streams each second; a timer for each would be re-armed at every event.
package final class SilenceWatch {
    private let pace: Pace
    private var streams: [ObjectIdentifier: any SilentStream] = [:]
    private var timer: LoopTimer?

    package init(_ loop: EventLoop, _ pace: Pace = Pace()) {
        self.pace = pace
        let timer = LoopTimer(loop) { [weak self] in self?.walk() }
        timer.start(after: pace.silenceWatch, repeating: pace.silenceWatch)
        self.timer = timer
    }

    package func add(_ stream: any SilentStream) { streams[ObjectIdentifier(stream)] = stream }
    package func remove(_ stream: any SilentStream) { streams[ObjectIdentifier(stream)] = nil }
    package func stop() { timer = nil }
    package var count: Int { streams.count }

    private func walk() {
        guard !streams.isEmpty else { return }
        let now = MonotonicTime.now
        for stream in streams.values {
            let silence = now - stream.lastHeard
            if silence >= (stream.hasKeptAlive ? pace.furtherSilence : pace.firstSilence) { stream.keepAlive() }
        }
    }
}
