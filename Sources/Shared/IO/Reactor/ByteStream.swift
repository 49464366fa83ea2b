/// A connected, ordered stream of bytes on a loop: plain TCP, or TLS over it.
///
/// Output is buffered and written when the loop's turn ends. Callbacks go to `handler`, which the stream keeps alive
/// until it ends; none comes after `close` or `abort`.
package protocol ByteStream: AnyObject {
    var handler: (any ByteStreamHandler)? { get set }
    var peer: SocketAddress { get }
    /// Bytes written here that the kernel has not taken yet.
    var bufferedBytes: Int { get }
    /// Bytes written here that the peer's system has not acknowledged: those buffered, and those in the kernel. Asks the
    /// kernel.
    var unacknowledgedBytes: Int { get }
    /// Its output leaves before that of other streams in each turn of the loop: what it says must be on its way before
    /// somebody else can see what follows from it.
    var goesFirst: Bool { get set }
    /// What ALPN chose (RFC 7301), on a TLS stream.
    var negotiatedProtocol: String? { get }

    /// Queues the bytes; they are copied.
    func write(_ bytes: UnsafeRawBufferPointer)
    /// Offers the pieces, after what is queued, to the kernel at once and queues the rest: spares big ones a copy. What
    /// another connection must send first may still be queued there: `write` keeps such an order, this does not.
    func writeThrough(_ pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>)
    /// Starts or stops reading. Not reading makes the peer wait: the kernel's window closes.
    func setReading(_ isOn: Bool)
    /// Asks for one `streamDidDrain` once everything queued has been taken by the kernel.
    func notifyWhenDrained()
    /// Sends what is queued, then ends the connection in order, bounded in time.
    func close()
    /// Ends the connection now; what is queued is lost.
    func abort()
}

extension ByteStream {
    package var goesFirst: Bool {
        get { false }
        set {}
    }
    package func writeThrough(_ pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>) {
        for piece in pieces { write(piece) }
    }
    package func writeThrough(_ bytes: UnsafeRawBufferPointer) {
        withUnsafePointer(to: bytes) { writeThrough(UnsafeBufferPointer(start: $0, count: 1)) }
    }
    package func write(_ bytes: [UInt8]) { bytes.withUnsafeBytes { write($0) } }
    package func write(_ text: StaticString) {
        write(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}

package protocol ByteStreamHandler: AnyObject {
    /// The bytes are only valid during the call.
    func streamDidRead(_ bytes: UnsafeRawBufferPointer)
    /// Something can be read. A handler that knows where it belongs calls `read` once, with the room it has: it is filled
    /// with what is there, and the count returned; 0 when nothing came, which `streamDidRead` or `streamDidEnd` will be
    /// told of instead. Nothing else may be done in here; `streamDidReadInPlace` follows at once where something was read.
    ///
    /// - Returns: how much it wants to be lent at most where it has no room.
    func streamCanRead(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Int
    /// So many bytes stand in the room that `streamCanRead` had for them.
    func streamDidReadInPlace(_ count: Int)
    func streamDidDrain()
    /// The peer has sent its last byte (`nil`: in order, and writing is still possible until `close`) or the
    /// connection failed (then it is closed already). Called at most once.
    func streamDidEnd(_ error: (any Error)?)
}

extension ByteStreamHandler {
    package func streamCanRead(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Int { .max }
    package func streamDidReadInPlace(_ count: Int) {}
}
