package import Reactor

/// A byte stream without a socket: what a connection does with input can be tried many thousand times a second.
package final class MemoryStream: ByteStream, TurnEndObserver {
    package var handler: (any ByteStreamHandler)?
    package let peer: SocketAddress
    package var bufferedBytes = 0
    package var unacknowledgedBytes: Int { bufferedBytes }
    package var negotiatedProtocol: String?
    private let loop: EventLoop
    package private(set) var written: [UInt8] = []
    package private(set) var isOpen = true

    package init(_ loop: EventLoop, peer: SocketAddress) {
        self.loop = loop
        self.peer = peer
    }

    package func write(_ bytes: UnsafeRawBufferPointer) {
        if isOpen { written.append(contentsOf: bytes) }
    }

    package func setReading(_ isOn: Bool) {}
    package func notifyWhenDrained() { loop.notifyAtTurnEnd(self) }
    package func turnDidEnd() { handler?.streamDidDrain() }
    package func close() { abort() }

    package func abort() {
        isOpen = false
        handler = nil
    }

    package func receive(_ bytes: ArraySlice<UInt8>) {
        // A copy of its own, so that a read beyond the piece is a read beyond the allocation.
        [UInt8](bytes).withUnsafeBytes { handler?.streamDidRead($0) }
    }

    package func end() {
        let handler = handler
        handler?.streamDidEnd(nil)
    }
}
