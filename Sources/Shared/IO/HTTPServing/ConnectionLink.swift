import Reactor

/// What an accepted connection keeps while the object that speaks its protocol changes: the stream, its timer, its
/// place in the server's books, and the watch over a caller that does not read.
final class ConnectionLink {
    let server: HTTPServer
    let stream: any ByteStream
    let isTLS: Bool
    let timer: LazyTimer
    private let onEnd: () -> Void
    private(set) var isOpen = true
    private var written = 0
    private var progress = WriteProgress()

    /// Above this many bytes that the kernel has not taken, nothing further is produced for the connection.
    static let highWater = 64 * 1024

    init(_ server: HTTPServer, _ stream: any ByteStream, isTLS: Bool, onEnd: @escaping () -> Void) {
        self.server = server
        self.stream = stream
        self.isTLS = isTLS
        self.onEnd = onEnd
        timer = LazyTimer(server.loop)
    }

    /// Makes `connection` the one that is told what happens.
    func hand(to connection: any ServerConnection) {
        stream.handler = connection
        timer.owner = connection
        server.connection(self, isNow: connection)
    }

    // MARK: Writing

    var isBackedUp: Bool { stream.bufferedBytes >= Self.highWater }

    func write(_ bytes: UnsafeRawBufferPointer) {
        written &+= bytes.count
        stream.write(bytes)
        watchWrites()
    }

    func write(_ text: StaticString) {
        write(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private func watchWrites() {
        guard !progress.isWatching else { return }
        let timeout = server.limits.writeStallTimeout
        progress.start(taken: written &- stream.unacknowledgedBytes, now: .now, timeout: timeout)
        timer.fire(by: progress.nextLook)
    }

    var nextLook: MonotonicTime { progress.nextLook }

    /// Whether the caller has taken nothing for too long.
    func isStalled(now: MonotonicTime) -> Bool {
        guard progress.nextLook <= now else { return false }
        // The kernel's buffer may hold megabytes, and takes more only when a third of it is free: a slow caller moves long
        // before that.
        let taken = written &- stream.unacknowledgedBytes
        let timeout = server.limits.writeStallTimeout
        return progress.look(taken: taken, pending: stream.bufferedBytes, now: now, timeout: timeout) == .stalled
    }

    // MARK: Ending

    /// Ends the connection in order. To be called when everything written has been taken: the stream itself waits for
    /// that only a moment.
    func close() { end { stream.close() } }

    /// Ends the connection now.
    func abort() { end { stream.abort() } }

    /// The connection has ended by itself.
    func didEnd() { end {} }

    private func end(_ action: () -> Void) {
        guard isOpen else { return }
        isOpen = false
        timer.stop()
        action()
        onEnd()
        server.connectionDidEnd(self)
    }
}
