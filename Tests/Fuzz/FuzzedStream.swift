import Glibc
import Reactor

/// A byte stream that takes everything and sends what it is told.
final class FuzzedStream: ByteStream, TurnEndObserver {
    var handler: (any ByteStreamHandler)?
    let peer: SocketAddress
    let bufferedBytes = 0
    let negotiatedProtocol: String? = nil
    private let loop: EventLoop
    private(set) var isOpen = true

    init(_ loop: EventLoop, peer: SocketAddress) {
        self.loop = loop
        self.peer = peer
    }

    func write(_ bytes: UnsafeRawBufferPointer) {}
    func setReading(_ isOn: Bool) {}
    func notifyWhenDrained() { loop.notifyAtTurnEnd(self) }
    func turnDidEnd() { handler?.streamDidDrain() }
    func close() { abort() }

    func abort() {
        isOpen = false
        handler = nil
    }

    func receive(_ bytes: ArraySlice<UInt8>) {
        // A copy of its own, so that a read beyond the piece is a read beyond the allocation.
        Array(bytes).withUnsafeBytes { handler?.streamDidRead($0) }
    }

    func end() {
        let handler = handler
        handler?.streamDidEnd(nil)
    }
}

extension LoopThread {
    /// Runs a task on the loop and waits for its end.
    func finish(_ body: @escaping @Sendable () async -> Void) {
        var done = sem_t()
        sem_init(&done, 0, 0)
        withUnsafeMutablePointer(to: &done) { done in
            nonisolated(unsafe) let done = done
            loop.execute { [loop] in
                loop.spawn {
                    await body()
                    sem_post(done)
                }
            }
            while sem_wait(done) != 0 {}
        }
        sem_destroy(&done)
    }
}
