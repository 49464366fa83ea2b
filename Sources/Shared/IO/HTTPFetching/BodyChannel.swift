import Reactor

/// The way of an answer's body from a connection's callbacks to its reader.
///
/// A reader that is there and not paused gets each piece at once. Else pieces are kept, and the source is told to
/// stop when a window's worth has come together. Subclasses are the sources' ends.
class BodyChannel: Expiring {
    private enum Reader {
        /// Nobody yet. Next: `collecting`, `callback`, `gone`.
        case none
        case collecting(limit: Int)
        case callback(onData: (UnsafeRawBufferPointer) -> Void, onEnd: (FetchError?) -> Void)
        /// It has had the end, or wants nothing more.
        case gone
    }
    private enum Ending {
        case none
        case inOrder
        case failed(FetchError)
    }
    private var reader = Reader.none
    private var ending = Ending.none
    private var kept: [UInt8] = []
    /// Bytes kept for which the source has not been told that they were taken.
    private var owed = 0
    private var collector: UnsafeContinuation<Void, Never>?
    private(set) final var isPaused = false

    // MARK: What sources do

    /// Tells the source that bytes were taken by the reader: it may fetch as many more.
    func bodyWasTaken(_ count: Int) {}
    /// Tells the source that `wantsBody` or `unreadCount` may have changed.
    func demandDidChange() {}
    /// Tells the source that the reader is gone; nothing may be delivered any more.
    func readerDidCancel() {}

    /// The caller of `send` wants no answer any more.
    func cancelBySender() { cancel() }

    /// Bytes waiting for the reader.
    final var unreadCount: Int { owed }

    /// Whether a reader waits for the next piece.
    final var wantsBody: Bool {
        guard !isPaused else { return false }
        return switch reader {
        case .none, .gone: false
        case .collecting, .callback: true
        }
    }

    final var hasReader: Bool {
        if case .none = reader { return false }
        return true
    }

    /// The source has read the next piece.
    final func deliver(_ bytes: UnsafeRawBufferPointer) {
        guard case .none = ending else { return }
        switch reader {
        case .callback(let onData, _) where !isPaused && kept.isEmpty:
            onData(bytes)
            bodyWasTaken(bytes.count)
        case .collecting(let limit):
            guard bytes.count <= limit - kept.count else { return refuse() }
            kept.append(contentsOf: bytes)
            bodyWasTaken(bytes.count)
        case .none, .callback:
            kept.append(contentsOf: bytes)
            owed += bytes.count
            demandDidChange()
        case .gone:
            break
        }
    }

    /// The source has come to the body's end. One that failed does not wait for a paused reader to go on when
    /// `isUrgent`: a timeout.
    final func deliverEnd(_ error: FetchError?, isUrgent: Bool = false) {
        guard case .none = ending else { return }
        ending = error.map { .failed($0) } ?? .inOrder
        if isUrgent {
            kept = []
            isPaused = false
        }
        handOver()
    }

    // MARK: What readers do

    final func read(
        onData: @escaping (UnsafeRawBufferPointer) -> Void,
        onEnd: @escaping (FetchError?) -> Void
    ) {
        guard isReadable else { return onEnd(.cancelled) }
        reader = .callback(onData: onData, onEnd: onEnd)
        handOver()
        demandDidChange()
    }

    /// - Parameter expected: the length announced, to make room for it at once.
    final func collect(limit: Int, expected: Int) async throws -> [UInt8] {
        try startCollecting(limit)
        if case .none = ending {
            if expected > kept.count { kept.reserveCapacity(min(expected, limit)) }
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                // The task may have been suspended on the way in here.
                if case .none = ending { collector = continuation } else { continuation.resume() }
            }
        }
        return try collected()
    }

    /// The same where the whole body is here already; nil where it is to be waited for, by `collect`.
    final func collectIfEnded(limit: Int) throws -> [UInt8]? {
        if case .none = ending { return nil }
        try startCollecting(limit)
        return try collected()
    }

    /// Not when it was given up before anybody could read it: its sender's caller left in the turn in which its head came.
    private var isReadable: Bool {
        switch reader {
        case .none: true
        case .gone: false
        case .collecting, .callback: preconditionFailure("a body has one reader")
        }
    }

    private func startCollecting(_ limit: Int) throws {
        guard isReadable else { throw FetchError.cancelled }
        reader = .collecting(limit: limit)
        if kept.count > limit {
            refuse()
        } else {
            settle()
            demandDidChange()
        }
    }

    private func collected() throws -> [UInt8] {
        reader = .gone
        let body = kept
        kept = []
        switch ending {
        case .failed(let error): throw error
        case .inOrder: return body
        case .none: preconditionFailure("a reader woken before the end")
        }
    }

    final func setPaused(_ isOn: Bool) {
        guard isOn != isPaused else { return }
        isPaused = isOn
        if !isOn { handOver() }
        demandDidChange()
    }

    /// The reader wants nothing more. A task in `collect` gets `.cancelled`.
    final func cancel() {
        if case .gone = reader { return }
        if case .none = ending {
            ending = .failed(.cancelled)
            readerDidCancel()
        }
        reader = .gone
        kept = []
        resumeCollector()
    }

    private func refuse() {
        readerDidCancel()
        ending = .failed(.bodyTooLarge)
        resumeCollector()
    }

    private func resumeCollector() {
        collector?.resume()
        collector = nil
    }

    // MARK: Handing over

    private func settle() {
        guard owed > 0 else { return }
        let count = owed
        owed = 0
        bodyWasTaken(count)
    }

    /// Gives the reader what is kept and then the end, as far as it wants them.
    private func handOver() {
        switch reader {
        case .none, .gone:
            break
        case .collecting:
            if case .none = ending { return }
            resumeCollector()
        case .callback(let onData, let onEnd):
            while !isPaused, !kept.isEmpty {
                let bytes = kept
                kept = []
                bytes.withUnsafeBytes { onData($0) }
                settle()
                if case .gone = reader { return }
            }
            guard !isPaused, kept.isEmpty else { return }
            switch ending {
            case .none: break
            case .inOrder:
                reader = .gone
                onEnd(nil)
            case .failed(let error):
                reader = .gone
                onEnd(error)
            }
        }
    }
}
