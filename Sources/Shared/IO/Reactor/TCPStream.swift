import Bytes
import CUV
import Glibc

/// A TCP connection on a loop.
package final class TCPStream: ByteStream, TurnEndObserver {
    package var handler: (any ByteStreamHandler)?
    package let peer: SocketAddress
    package var negotiatedProtocol: String? { nil }
    package var goesFirst = false
    package var endsTurnFirst: Bool { goesFirst }
    package let loop: EventLoop

    private let handle: UnsafeMutablePointer<uv_tcp_t>
    private var output: [UInt8] = []
    /// What the kernel did not take at once, being written by libuv; freed when that ends.
    private var inFlight = 0
    private var isFlushScheduled = false
    private var wantsDrain = false
    private var isReading = false
    /// Bytes read into the handler's memory of which it has not been told.
    private var readInPlaceCount = 0
    private var phase = Phase.open
    private var lingerTimer: LoopTimer?

    private enum Phase {
        /// Next: `closing` (our `close`), `closed` (failure or `abort`).
        case open
        /// Output is being sent, input is thrown away. Next: `closed`.
        case closing
        case closed
    }

    /// A peer that neither takes any of our last bytes nor hangs up for this time is cut.
    private static let lingerLimit = Duration.seconds(2)

    /// Takes over a connected handle allocated with `allocate(capacity: 1)`.
    init(_ loop: EventLoop, taking handle: UnsafeMutablePointer<uv_tcp_t>, peer: SocketAddress) {
        self.loop = loop
        self.handle = handle
        self.peer = peer
        uv_tcp_nodelay(handle, 1)
        // Balanced in `didClose`: libuv's callbacks find the stream alive until the handle is closed.
        handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    private var stream: UnsafeMutablePointer<uv_stream_t> {
        UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_stream_t.self)
    }

    /// Falls while a long write goes on, so that a slow peer can be told from one that takes nothing.
    package var bufferedBytes: Int {
        output.count + (inFlight == 0 ? 0 : uv_stream_get_write_queue_size(stream))
    }

    package var unacknowledgedBytes: Int {
        var file: uv_os_fd_t = -1
        var queued: CInt = 0
        let handle = UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)
        guard phase != .closed, uv_fileno(handle, &file) == 0, ioctl(file, UInt(TIOCOUTQ), &queued) == 0 else {
            return bufferedBytes
        }
        return bufferedBytes + Int(queued)
    }

    // MARK: Reading

    package func setReading(_ isOn: Bool) {
        guard phase == .open, isOn != isReading else { return }
        isReading = isOn
        if isOn { startReading() } else { uv_read_stop(stream) }
    }

    private func startReading() {
        uv_read_start(
            stream,
            { handle, _, buffer in
                guard let data = handle?.pointee.data else { return }
                let me = Unmanaged<TCPStream>.fromOpaque(data).takeUnretainedValue()
                let wanted = me.readInPlace()
                // Without a buffer libuv reads nothing, and calls back with ENOBUFS.
                guard me.readInPlaceCount == 0 else { return }
                let shared = me.loop.readBuffer
                buffer?.pointee = uv_buf_t(
                    base: shared.baseAddress?.assumingMemoryBound(to: CChar.self),
                    len: min(shared.count, wanted)
                )
            },
            { handle, count, buffer in
                guard count != 0, let data = handle?.pointee.data else { return }
                let me = Unmanaged<TCPStream>.fromOpaque(data).takeUnretainedValue()
                if count > 0 {
                    me.didRead(UnsafeRawBufferPointer(start: buffer?.pointee.base, count: count))
                } else if count == Int(UV_ENOBUFS.rawValue), me.readInPlaceCount > 0 {
                    me.didReadInPlace()
                } else {
                    me.didEnd(UVError(call: "uv_read", code: Int32(truncatingIfNeeded: count)))
                }
            }
        )
    }

    /// Reads straight into the handler's memory, where it has room; returns how much it wants to be lent otherwise.
    private func readInPlace() -> Int {
        readInPlaceCount = 0
        guard phase == .open, let handler else { return .max }
        return handler.streamCanRead { room in
            var file = uv_os_fd_t()
            let handle = UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)
            guard uv_fileno(handle, &file) == 0 else { return 0 }
            // What ends the stream is met again, and reported, by libuv.
            readInPlaceCount = max(0, recv(file, room.baseAddress, room.count, Int32(MSG_DONTWAIT)))
            return readInPlaceCount
        }
    }

    private func didReadInPlace() {
        let count = readInPlaceCount
        readInPlaceCount = 0
        guard phase == .open else { return }
        handler?.streamDidReadInPlace(count)
    }

    private func didRead(_ bytes: UnsafeRawBufferPointer) {
        guard phase == .open else { return }
        handler?.streamDidRead(bytes)
    }

    private func didEnd(_ error: UVError) {
        isReading = false
        uv_read_stop(stream)
        switch phase {
        case .open:
            if error.isEndOfFile { handler?.streamDidEnd(nil) } else { fail(error) }
        case .closing:
            if bufferedBytes == 0 || !error.isEndOfFile { closeHandle() }
        case .closed:
            break
        }
    }

    private func fail(_ error: UVError) {
        let handler = handler
        closeHandle()
        handler?.streamDidEnd(error)
    }

    // MARK: Writing

    package func write(_ bytes: UnsafeRawBufferPointer) {
        guard phase == .open, !bytes.isEmpty else { return }
        if output.isEmpty { takeBuffer() }
        output.append(atMost: bytes.count) { $0.write(bytes) }
        scheduleFlush()
    }

    /// Most connections say nothing most of the time, and there are thousands of them: what has been written leaves its
    /// buffer to the next one that writes.
    private func takeBuffer() {
        if output.capacity == 0 { output = loop.spareBuffers.take() }
    }

    private func leaveBuffer() {
        output.removeAll(keepingCapacity: true)
        if !goesFirst || output.capacity > Self.largestOwnBuffer { loop.spareBuffers.leave(&output) }
    }

    /// Of one whose output goes first: there are few of these, and they write in every turn.
    private static let largestOwnBuffer = 64 * 1024

    /// Below this a copy is cheaper than a system call of its own.
    private static let writeThroughMinimum = 8 * 1024

    package func writeThrough(_ pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>) {
        guard phase == .open else { return }
        let total = pieces.reduce(0) { $0 + $1.count }
        let queued = output.count
        var taken = 0
        if inFlight == 0, total >= Self.writeThroughMinimum { taken = offer(pieces) }
        output.removeFirst(min(taken, queued))
        if output.isEmpty, taken < queued + total { takeBuffer() }
        var skipped = max(0, taken - queued)
        for piece in pieces {
            let start = min(skipped, piece.count)
            skipped -= start
            output.append(contentsOf: piece[start...])
        }
        scheduleFlush()
    }

    /// One system call for what is queued and the pieces; returns how many bytes the kernel took. An error is met again,
    /// and reported, when the turn ends.
    private func offer(_ pieces: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Int {
        output.withUnsafeMutableBytes { queued in
            withUnsafeTemporaryAllocation(of: uv_buf_t.self, capacity: pieces.count + 1) { buffers in
                buffers[0] = uv_buf_t(base: queued.baseAddress?.assumingMemoryBound(to: CChar.self), len: queued.count)
                for (index, piece) in pieces.enumerated() {
                    let start = UnsafeMutableRawPointer(mutating: piece.baseAddress)
                    buffers[index + 1] = uv_buf_t(base: start?.assumingMemoryBound(to: CChar.self), len: piece.count)
                }
                return max(0, Int(uv_try_write(stream, buffers.baseAddress, UInt32(buffers.count))))
            }
        }
    }

    package func notifyWhenDrained() {
        wantsDrain = true
        scheduleFlush()
    }

    private func scheduleFlush() {
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        loop.notifyAtTurnEnd(self)
    }

    package func turnDidEnd() {
        isFlushScheduled = false
        // One write at a time: what is queued meanwhile goes out when that one is done.
        guard phase != .closed, inFlight == 0 else { return }
        if !output.isEmpty {
            var written: Int32 = 0
            output.withUnsafeMutableBytes { bytes in
                var buffer = uv_buf_t(base: bytes.baseAddress?.assumingMemoryBound(to: CChar.self), len: bytes.count)
                written = uv_try_write(stream, &buffer, 1)
            }
            if written < 0, written != UV_EAGAIN.rawValue {
                return writeFailed(UVError(call: "uv_try_write", code: written))
            }
            let taken = max(0, Int(written))
            if taken < output.count {
                writeRest(from: taken)
            } else {
                leaveBuffer()
            }
        } else if output.capacity > 0 {
            // All that was queued went with what was written through.
            leaveBuffer()
        }
        if inFlight == 0 { drained() }
    }

    private func writeRest(from start: Int) {
        let rest = UnsafeMutableRawBufferPointer.allocate(byteCount: output.count - start, alignment: 1)
        output.withUnsafeBytes { rest.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start...])) }
        output = []
        inFlight = rest.count
        let request = UnsafeMutablePointer<uv_write_t>.allocate(capacity: 1)
        request.pointee.data = rest.baseAddress
        var buffer = uv_buf_t(base: rest.baseAddress?.assumingMemoryBound(to: CChar.self), len: rest.count)
        let code = uv_write(request, stream, &buffer, 1) { request, status in
            guard let request else { return }
            request.pointee.data?.deallocate()
            let data = request.pointee.handle?.pointee.data
            request.deallocate()
            guard let data else { return }
            Unmanaged<TCPStream>.fromOpaque(data).takeUnretainedValue().didWrite(status)
        }
        if code < 0 {
            rest.deallocate()
            request.deallocate()
            writeFailed(UVError(call: "uv_write", code: code))
        }
    }

    private func didWrite(_ status: Int32) {
        inFlight = 0
        guard phase != .closed else { return }
        guard status >= 0 else { return writeFailed(UVError(call: "uv_write", code: status)) }
        turnDidEnd()
    }

    private func writeFailed(_ error: UVError) {
        if phase == .open { fail(error) } else { closeHandle() }
    }

    private func drained() {
        if phase == .closing { return shutDown() }
        guard wantsDrain else { return }
        wantsDrain = false
        handler?.streamDidDrain()
    }

    // MARK: Ending

    package func close() {
        guard phase == .open else { return }
        phase = .closing
        handler = nil
        var left = Int.max
        lingerTimer = LoopTimer(loop) { [unowned self] in
            let now = output.count + uv_stream_get_write_queue_size(stream)
            if now == 0 || now >= left { closeHandle() }
            left = now
        }
        lingerTimer?.start(after: Self.lingerLimit, repeating: Self.lingerLimit)
        scheduleFlush()
    }

    /// Says that we are done, then waits for the peer to say so too: closing with unread input would make the kernel
    /// reset the connection, and the peer could lose our last answer.
    private func shutDown() {
        let request = UnsafeMutablePointer<uv_shutdown_t>.allocate(capacity: 1)
        let code = uv_shutdown(request, stream) { request, status in
            let data = request?.pointee.handle?.pointee.data
            request?.deallocate()
            guard status < 0, status != UV_ECANCELED.rawValue, let data else { return }
            Unmanaged<TCPStream>.fromOpaque(data).takeUnretainedValue().closeHandle()
        }
        if code < 0 {
            request.deallocate()
            closeHandle()
        } else if !isReading {
            isReading = true
            startReading()
        }
    }

    package func abort() {
        handler = nil
        closeHandle()
    }

    private func closeHandle() {
        guard phase != .closed else { return }
        phase = .closed
        handler = nil
        lingerTimer = nil
        output = []
        uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)) { handle in
            if let data = handle?.pointee.data { Unmanaged<TCPStream>.fromOpaque(data).release() }
            handle?.deallocate()
        }
    }
}
