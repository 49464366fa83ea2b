import HTTPFetching
import HTTPMessages
import Reactor
import TestSupport
import Testing

@Suite("Addresses that are never connected to")
struct RefusedAddressTests {
    /// How a client is asked: our own, libcurl's, and libcurl's through a proxy.
    enum Way: CaseIterable { case own, curl, proxied }

    private static func send(
        _ loop: EventLoop,
        _ way: Way,
        to peer: SocketAddress,
        through proxy: SocketAddress,
        refusing refuses: @escaping @Sendable (SocketAddress) -> Bool
    ) async throws -> Int {
        var options = HTTPClient.Options()
        options.refuses = refuses
        let request = FetchRequest(
            to: Endpoint(isTLS: false, host: "localhost", port: peer.port),
            HTTPRequestHead(method: "GET", target: "/", headers: [:])
        )
        switch way {
        case .own:
            let client = try HTTPClient(loop, options: options)
            defer { client.close() }
            let response = try await client.send(request)
            _ = try await response.collect(limit: 100)
            return response.head.status
        case .curl, .proxied:
            let client = try CurlClient(loop, options: options)
            defer { client.close() }
            let server = way == .curl ? nil : ProxyServer(.http, host: "localhost", port: proxy.port)
            let response = try await client.send(request, through: server)
            _ = try await response.collect(limit: 100)
            return response.head.status
        }
    }

    @Test(
        "a name that leads to a refused address is not connected to; other addresses of it are",
        arguments: Way.allCases
    )
    func refused(way: Way) async throws {
        try await onLoop { loop in
            var requests = 0
            let peer = try HTTP1Peer(loop) { link, _ in
                requests += 1
                link.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            }
            let proxy = try TestProxy(loop, .connect)
            defer {
                peer.close()
                proxy.close()
            }
            await #expect(throws: FetchError.self) {
                _ = try await Self.send(loop, way, to: peer.address, through: proxy.address) { _ in true }
            }
            #expect(requests == 0 && proxy.targets.isEmpty)
            let status = try await Self.send(loop, way, to: peer.address, through: proxy.address) { !$0.isIPv4 }
            #expect(status == 200 && requests == 1)
        }
    }
}
