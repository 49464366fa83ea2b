import CUV
import Reactor

/// A socket of libcurl's that the loop watches for it.
final class CurlSocket {
    let descriptor: Int32
    private let poll = UnsafeMutablePointer<uv_poll_t>.allocate(capacity: 1)
    private let onEvents: (Int32, Int32) -> Void
    private var isClosed = false

    /// - Parameter onEvents: gets libuv's status and events.
    init(_ loop: EventLoop, _ descriptor: Int32, onEvents: @escaping (_ status: Int32, _ events: Int32) -> Void) throws
    {
        self.descriptor = descriptor
        self.onEvents = onEvents
        let poll = poll
        do {
            try uv("uv_poll_init_socket") { uv_poll_init_socket(loop.raw, poll, descriptor) }
        } catch {
            // What throws is let go of like anything else.
            isClosed = true
            poll.deallocate()
            throw error
        }
        poll.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    }

    deinit { close() }

    /// Watches no more, at once: libcurl may open the next socket under the same number before this one is let go of.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        poll.pointee.data = nil
        uv_close(UnsafeMutableRawPointer(poll).assumingMemoryBound(to: uv_handle_t.self)) { $0?.deallocate() }
    }

    func watch(reading: Bool, writing: Bool) {
        guard !isClosed else { return }
        var events: Int32 = 0
        if reading { events |= Int32(UV_READABLE.rawValue) }
        if writing { events |= Int32(UV_WRITABLE.rawValue) }
        uv_poll_start(poll, events) { poll, status, events in
            guard let data = poll?.pointee.data else { return }
            // Retained while it runs: libcurl may close the socket meanwhile.
            let socket = Unmanaged<CurlSocket>.fromOpaque(data).takeUnretainedValue()
            withExtendedLifetime(socket) { socket.onEvents(status, events) }
        }
    }
}
