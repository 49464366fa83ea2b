import CUV

/// Accepts TCP connections on a loop.
package final class TCPListener {
    /// Where it really listens: the port the kernel chose, when 0 was asked for.
    package let address: SocketAddress
    private let loop: EventLoop
    private let handle: UnsafeMutablePointer<uv_tcp_t>
    private let accept: (TCPStream) -> Void
    private var isOpen = true

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
        self.accept = accept
        let handle = UnsafeMutablePointer<uv_tcp_t>.allocate(capacity: 1)
        self.handle = handle
        try uv("uv_tcp_init_ex") { uv_tcp_init_ex(loop.raw, handle, UInt32(address.isIPv4 ? AF_INET : AF_INET6)) }
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
            self.address = Self.boundAddress(of: handle) ?? address
            handle.pointee.data = nil
            try uv("uv_listen") {
                uv_listen(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_stream_t.self), backlog) {
                    server,
                    status in
                    guard status >= 0, let data = server?.pointee.data else { return }
                    Unmanaged<TCPListener>.fromOpaque(data).takeUnretainedValue().acceptOne()
                }
            }
        } catch {
            uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)) { $0?.deallocate() }
            isOpen = false
            throw error
        }
        handle.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    }

    deinit { close() }

    /// Stops accepting; connections already accepted go on.
    package func close() {
        guard isOpen else { return }
        isOpen = false
        handle.pointee.data = nil
        uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)) { $0?.deallocate() }
    }

    private func acceptOne() {
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
