import CUV

/// Accepts TCP connections on a loop.
package final class TCPListener {
    /// Where it really listens: the port the kernel chose, when 0 was asked for.
    package private(set) var address: SocketAddress
    private let loop: EventLoop
    private let sharesPort: Bool
    private let backlog: Int32
    private let accept: (TCPStream) -> Void
    /// Nil while it pauses, and once it is closed.
    private var handle: UnsafeMutablePointer<uv_tcp_t>?
    private var isOpen = true
    private var pause: LoopTimer?

    /// How long nothing is accepted when the process has as many open files as it may have.
    private static let pauseWithoutFiles = Duration.milliseconds(100)

    /// - Parameter sharesPort: lets several loops or processes listen on one port (`SO_REUSEPORT`); the kernel
    ///   spreads connections over them.
    package init(
        _ loop: EventLoop,
        on address: SocketAddress,
        sharesPort: Bool,
        backlog: Int32 = 4096,
        accept: @escaping (TCPStream) -> Void
    ) throws(UVError) {
        self.loop = loop
        self.address = address
        self.sharesPort = sharesPort
        self.backlog = backlog
        self.accept = accept
        try listen()
    }

    deinit { close() }

    /// Stops accepting; connections already accepted go on.
    package func close() {
        isOpen = false
        pause = nil
        closeHandle()
    }

    private func listen() throws(UVError) {
        let handle = UnsafeMutablePointer<uv_tcp_t>.allocate(capacity: 1)
        do throws(UVError) {
            try uv("uv_tcp_init_ex") { uv_tcp_init_ex(loop.raw, handle, UInt32(address.isIPv4 ? AF_INET : AF_INET6)) }
        } catch {
            handle.deallocate()
            throw error
        }
        handle.pointee.data = nil
        self.handle = handle
        do throws(UVError) {
            if sharesPort {
                var fd: uv_os_fd_t = -1
                try uv("uv_fileno") {
                    uv_fileno(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self), &fd)
                }
                var yes: Int32 = 1
                setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, socklen_t(MemoryLayout<Int32>.size))
            }
            try uv("uv_tcp_bind") { address.withSockaddr { uv_tcp_bind(handle, $0, 0) } }
            address = Self.boundAddress(of: handle) ?? address
            try uv("uv_listen") {
                uv_listen(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_stream_t.self), backlog) {
                    server,
                    status in
                    guard let data = server?.pointee.data else { return }
                    let me = Unmanaged<TCPListener>.fromOpaque(data).takeUnretainedValue()
                    if status >= 0 { me.acceptOne() } else { me.couldNotAccept(status) }
                }
            }
        } catch {
            closeHandle()
            throw error
        }
        handle.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    }

    private func closeHandle() {
        guard let handle else { return }
        self.handle = nil
        handle.pointee.data = nil
        uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)) { $0?.deallocate() }
    }

    /// Without a free file libuv asks again and again within one turn, for as long as anybody wants to connect; the loop,
    /// which alone could close a connection, would do nothing else.
    private func couldNotAccept(_ status: Int32) {
        guard status == UV_EMFILE.rawValue || status == UV_ENFILE.rawValue else { return }
        closeHandle()
        let pause = LoopTimer(loop) { [unowned self] in
            guard isOpen, handle == nil else { return }
            do {
                try listen()
                self.pause = nil
            } catch {
                self.pause?.start(after: Self.pauseWithoutFiles)
            }
        }
        pause.start(after: Self.pauseWithoutFiles)
        self.pause = pause
    }

    private func acceptOne() {
        guard let handle else { return }
        let client = UnsafeMutablePointer<uv_tcp_t>.allocate(capacity: 1)
        uv_tcp_init(loop.raw, client)
        client.pointee.data = nil
        let code = uv_accept(
            UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_stream_t.self),
            UnsafeMutableRawPointer(client).assumingMemoryBound(to: uv_stream_t.self)
        )
        guard code == 0, let peer = Self.peerAddress(of: client) else {
            uv_close(UnsafeMutableRawPointer(client).assumingMemoryBound(to: uv_handle_t.self)) { $0?.deallocate() }
            return
        }
        accept(TCPStream(loop, taking: client, peer: peer))
    }

    private static func boundAddress(of handle: UnsafeMutablePointer<uv_tcp_t>) -> SocketAddress? {
        read { uv_tcp_getsockname(handle, $0, $1) }
    }

    private static func peerAddress(of handle: UnsafeMutablePointer<uv_tcp_t>) -> SocketAddress? {
        read { uv_tcp_getpeername(handle, $0, $1) }
    }

    private static func read(
        _ call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<Int32>) -> Int32
    ) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = Int32(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                call(address, &length) == 0 ? SocketAddress(address) : nil
            }
        }
    }
}
