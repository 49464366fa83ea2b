package import Reactor

/// Since when a stream's caller has heard nothing.
package struct CallerSilence: Sendable {
    /// Nil until an account is asked: what a call waits for before that is no upstream's silence. From then on it counts
    /// until the caller hears something, whichever account is asked meanwhile.
    package private(set) var since: MonotonicTime?
    /// Whether the last thing it heard was a keep-alive.
    package private(set) var hasKeptAlive = false

    package init() {}

    /// An account is asked: where it is the first one, the silence begins.
    package mutating func asked(at now: MonotonicTime) {
        if since == nil { since = now }
    }

    package mutating func keptAlive(at now: MonotonicTime) {
        since = now
        hasKeptAlive = true
    }

    /// The caller was written something of its answer.
    package mutating func broken(at now: MonotonicTime) {
        since = now
        hasKeptAlive = false
    }
}

/// A stream whose caller must hear something now and then.
package protocol SilentStream: AnyObject {
    var silence: CallerSilence { get }
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
            let silence = stream.silence
            guard let since = silence.since else { continue }
            if now - since >= (silence.hasKeptAlive ? pace.furtherSilence : pace.firstSilence) { stream.keepAlive() }
        }
    }
}
