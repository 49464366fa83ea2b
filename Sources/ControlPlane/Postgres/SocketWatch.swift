import CUV
import Reactor

/// Tells when a socket that a library owns can be read or written (`uv_poll`). Closed, at the latest when released,
/// before the library closes the socket.
final class SocketWatch {
    private var handle: UnsafeMutablePointer<uv_poll_t>?
    private let onReady: (_ readable: Bool, _ writable: Bool) -> Void
    private var events: UInt32 = 0

    /// - Parameter onReady: also called, with both, when the socket failed: using it tells the reason.
    init(
        _ loop: EventLoop,
        _ descriptor: Int32,
        _ onReady: @escaping (_ readable: Bool, _ writable: Bool) -> Void
    ) throws(UVError) {
        self.onReady = onReady
        let handle = UnsafeMutablePointer<uv_poll_t>.allocate(capacity: 1)
        do throws(UVError) {
            try uv("uv_poll_init") { uv_poll_init(loop.raw, handle, descriptor) }
        } catch {
            handle.deallocate()
            throw error
        }
        handle.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        self.handle = handle
    }

    deinit { close() }

    func watch(reading: Bool, writing: Bool) {
        let wanted = (reading ? UV_READABLE.rawValue : 0) | (writing ? UV_WRITABLE.rawValue : 0)
        guard wanted != events, let handle else { return }
        events = wanted
        uv_poll_start(handle, Int32(wanted)) { handle, status, events in
            guard let data = handle?.pointee.data else { return }
            let watch = Unmanaged<SocketWatch>.fromOpaque(data).takeUnretainedValue()
            withExtendedLifetime(watch) {
                let events = UInt32(bitPattern: events)
                if status < 0 {
                    // libuv has stopped watching; `watch` starts it again.
                    watch.events = 0
                    watch.onReady(true, true)
                } else {
                    watch.onReady(events & UV_READABLE.rawValue != 0, events & UV_WRITABLE.rawValue != 0)
                }
            }
        }
    }

    func close() {
        guard let handle else { return }
        self.handle = nil
        handle.pointee.data = nil
        uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)) { $0?.deallocate() }
    }
}
