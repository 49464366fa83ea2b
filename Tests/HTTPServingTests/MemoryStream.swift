import Reactor

/// A byte stream without a socket: what the server does with input can be tried many thousand times a second.
final class MemoryStream: ByteStream, TurnEndObserver {
    var handler: (any ByteStreamHandler)?
    let peer: SocketAddress
    var bufferedBytes = 0
    var negotiatedProtocol: String?
    private let loop: EventLoop
    private(set) var written: [UInt8] = []
    private(set) var isOpen = true

    init(_ loop: EventLoop, peer: SocketAddress) {
        self.loop = loop
        self.peer = peer
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
        if isOpen { written.append(contentsOf: bytes) }
    }

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
        [UInt8](bytes).withUnsafeBytes { handler?.streamDidRead($0) }
    }

    func end() {
        let handler = handler
        handler?.streamDidEnd(nil)
    }
}
