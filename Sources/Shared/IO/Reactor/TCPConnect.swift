import CUV

package enum ConnectError: Error, Equatable {
    case timedOut
    case noAddress
}

extension TCPStream {

    /// Connects to `address`.
    ///
    /// - Throws: `ConnectError.timedOut`, or the `UVError` of the refused connection.
    package static func connect(
        _ loop: EventLoop,
        to address: SocketAddress,
        timeout: Duration
    ) async throws -> TCPStream {
        let handle = UnsafeMutablePointer<uv_tcp_t>.allocate(capacity: 1)
        uv_tcp_init(loop.raw, handle)
        handle.pointee.data = nil
        let promise = Promise<Void>()
        let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)
        request.pointee.data = Unmanaged.passRetained(promise).toOpaque()
        let code = address.withSockaddr { address in
            uv_tcp_connect(request, handle, address) { request, status in
                guard let request, let data = request.pointee.data else { return }
                let promise = Unmanaged<Promise<Void>>.fromOpaque(data).takeRetainedValue()
                request.deallocate()
                promise.fulfil(
                    status < 0 ? .failure(UVError(call: "uv_tcp_connect", code: status)) : .success(())
                )
            }
        }
        if code < 0 {
            Unmanaged.passUnretained(promise).release()
            request.deallocate()
            promise.fail(UVError(call: "uv_tcp_connect", code: code))
        }
        let timer = loop.schedule(after: timeout) { promise.fail(ConnectError.timedOut) }
        do {
            try await promise.wait()
            timer.stop()
        } catch {
            timer.stop()
            uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)) { $0?.deallocate() }
            throw error
        }
        return TCPStream(loop, taking: handle, peer: address)
    }
}

extension EventLoop {
    /// Looks a host name up (`getaddrinfo` on libuv's thread pool); numeric addresses answer at once.
    ///
    /// - Throws: `UVError` from the resolver, `ConnectError.noAddress` for an empty answer.
    package func resolve(_ host: String, port: UInt16) async throws -> [SocketAddress] {
        if let numeric = SocketAddress(ip: host, port: port) { return [numeric] }
        let promise = Promise<[SocketAddress]>()
        let request = UnsafeMutablePointer<uv_getaddrinfo_t>.allocate(capacity: 1)
        request.pointee.data = Unmanaged.passRetained(promise).toOpaque()
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        let code = uv_getaddrinfo(
            raw,
            request,
            { request, status, list in
                guard let request, let data = request.pointee.data else { return }
                let promise = Unmanaged<Promise<[SocketAddress]>>.fromOpaque(data).takeRetainedValue()
                defer { uv_freeaddrinfo(list) }
                request.deallocate()
                guard status >= 0 else {
                    return promise.fail(UVError(call: "uv_getaddrinfo", code: status))
                }
                var found: [SocketAddress] = []
                var next = list
                while let entry = next {
                    if let address = entry.pointee.ai_addr { found.append(SocketAddress(address)) }
                    next = entry.pointee.ai_next
                }
                promise.succeed(found)
            },
            host,
            String(port),
            &hints
        )
        if code < 0 {
            Unmanaged.passUnretained(promise).release()
            request.deallocate()
            throw UVError(call: "uv_getaddrinfo", code: code)
        }
        let found = try await promise.wait()
        guard !found.isEmpty else { throw ConnectError.noAddress }
        return found
    }

    /// The same with a bound: the resolver's own is tens of seconds. A late answer is dropped.
    ///
    /// - Throws: also `ConnectError.timedOut`.
    package func resolve(_ host: String, port: UInt16, timeout: Duration) async throws -> [SocketAddress] {
        if let numeric = SocketAddress(ip: host, port: port) { return [numeric] }
        let promise = Promise<[SocketAddress]>()
        spawn {
            do { promise.succeed(try await self.resolve(host, port: port)) } catch { promise.fail(error) }
        }
        let timer = schedule(after: timeout) { promise.fail(ConnectError.timedOut) }
        defer { timer.stop() }
        return try await promise.wait()
    }
}
