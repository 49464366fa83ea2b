import Reactor
import TestSupport
import Testing

@testable import TLS

@Suite("TLS handshakes")
struct TLSHandshakeTests {
    /// Connects to a server with the given certificate and returns what the client's `connect` threw, if anything.
    private func attempt(
        _ certificate: @escaping @Sendable (TestCertificates) -> TestCertificates.Pair,
        as name: String,
        trusting: Bool = true
    ) async throws -> TLSError? {
        try await onLoop { loop in
            let peer = try TLSPeer(loop, .testServer(certificate))
            defer { peer.close() }
            let client = try trusting ? TLSContext.testClient() : TLSContext.client(alpn: ["h2"])
            let tcp = try await TCPStream.connect(loop, to: peer.address, timeout: .seconds(30))
            let server = try await peer.next()
            defer { server.abort() }
            do {
                let stream = try await client.connect(tcp, serverName: name, timeout: .seconds(30))
                stream.close()
                return nil
            } catch let error as TLSError {
                return error
            }
        }
    }

    @Test(
        "a certificate for the name or address is accepted",
        arguments: ["localhost", "localhost.", "a.test.example", "127.0.0.1"]
    )
    func accepted(name: String) async throws {
        #expect(try await attempt(\.server, as: name) == nil)
    }

    @Test(
        "a certificate for another name or address is refused",
        arguments: ["elsewhere.example", "b.a.test.example", "127.0.0.2", "::1", ""]
    )
    func wrongName(name: String) async throws {
        guard case .certificate(let reason) = try await attempt(\.server, as: name) else {
            Issue.record("accepted as \(name)")
            return
        }
        #expect(reason.lowercased().contains("mismatch"))
    }

    @Test("a certificate without our address does not stand for it")
    func addressNotListed() async throws {
        #expect(try await attempt(\.stranger, as: "127.0.0.1") == .certificate("IP address mismatch"))
    }

    @Test("an expired certificate is refused")
    func expired() async throws {
        #expect(try await attempt(\.expired, as: "localhost") == .certificate("certificate has expired"))
    }

    @Test("a certificate of an unknown authority is refused")
    func untrusted() async throws {
        #expect(
            try await attempt(\.server, as: "localhost", trusting: false)
                == .certificate("unable to get local issuer certificate")
        )
    }

    @Test(
        "both sides agree on a protocol in the server's order",
        arguments: [
            (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (["h2"], "h2"), ([], nil),
        ] as [([String], String?)]
    )
    func negotiation(offered: [String], chosen: String?) async throws {
        let (client, server) = try await onLoop { loop in
            let peer = try TLSPeer(loop, .testServer())
            defer { peer.close() }
            let tcp = try await TCPStream.connect(loop, to: peer.address, timeout: .seconds(30))
            let accepted = try await peer.next()
            let collector = Collector()
            accepted.handler = collector
            accepted.setReading(true)
            let stream = try await TLSContext.testClient()
                .connect(tcp, serverName: "localhost", timeout: .seconds(30), alpn: offered)
            stream.write("x")
            try await collector.wait(for: 1)
            defer {
                stream.close()
                accepted.close()
            }
            return (stream.negotiatedProtocol, accepted.negotiatedProtocol)
        }
        #expect(client == chosen)
        #expect(server == chosen)
    }

    @Test("no protocol in common ends the handshake on both sides with the reason")
    func noCommonProtocol() async throws {
        try await onLoop { loop in
            let peer = try TLSPeer(loop, .testServer(alpn: ["h2"]))
            defer { peer.close() }
            let tcp = try await TCPStream.connect(loop, to: peer.address, timeout: .seconds(30))
            let accepted = try await peer.next()
            let collector = Collector()
            accepted.handler = collector
            await #expect(throws: TLSError.handshake("tlsv1 alert no application protocol")) {
                _ = try await TLSContext.testClient(alpn: ["http/1.1"])
                    .connect(tcp, serverName: "localhost", timeout: .seconds(30))
            }
            #expect(await collector.endError() as? TLSError == .handshake("no application protocol"))
        }
    }

    @Test(
        "versions below TLS 1.2 are refused, 1.2 and 1.3 are spoken",
        arguments: [
            ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true),
        ]
    )
    func versions(flag: String, isSpoken: Bool) async throws {
        let status = try await onLoop { loop in
            let peer = try TLSPeer(loop, .testServer(alpn: []))
            defer { peer.close() }
            let address = peer.address.description
            let status = await loop.offload {
                runCommand([
                    "openssl", "s_client", flag, "-cipher", "DEFAULT@SECLEVEL=0", "-connect", address,
                ])
            }
            try await peer.next().abort()
            return status
        }
        #expect((status == 0) == isSpoken)
    }

    @Test("bytes that are no TLS end the handshake")
    func garbage() async throws {
        try await onLoop { loop in
            let peer = try TLSPeer(loop, .testServer())
            defer { peer.close() }
            let tcp = try await TCPStream.connect(loop, to: peer.address, timeout: .seconds(30))
            tcp.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            let collector = Collector()
            let accepted = try await peer.next()
            accepted.handler = collector
            #expect(await collector.endError() as? TLSError == .handshake("http request"))
            tcp.abort()
        }
    }

    @Test("a server that says nothing is given up after the limit")
    func silentServer() async throws {
        try await onLoop { loop in
            let peer = try TLSPeer(loop, nil)
            defer { peer.close() }
            let tcp = try await TCPStream.connect(loop, to: peer.address, timeout: .seconds(30))
            await #expect(throws: ConnectError.timedOut) {
                _ = try await TLSContext.testClient().connect(tcp, serverName: "localhost", timeout: .milliseconds(30))
            }
            try await peer.next().abort()
        }
    }

    @Test("a server that hangs up in the handshake is an error")
    func serverHangsUp() async throws {
        try await onLoop { loop in
            let peer = try TLSPeer(loop, nil)
            defer { peer.close() }
            let tcp = try await TCPStream.connect(loop, to: peer.address, timeout: .seconds(30))
            try await peer.next().close()
            // In order or by a reset, as the unread hello has it.
            await #expect(throws: (any Error).self) {
                _ = try await TLSContext.testClient().connect(tcp, serverName: "localhost", timeout: .seconds(30))
            }
        }
    }

    @Test("a caller that never finishes the handshake is dropped after the server's limit")
    func silentCaller() async throws {
        try await onLoop { loop in
            let context = try TLSContext.testServer()
            #expect(context.acceptLimit == .seconds(10))
            context.acceptLimit = .milliseconds(30)
            let peer = try TLSPeer(loop, context)
            defer { peer.close() }
            let tcp = try await TCPStream.connect(loop, to: peer.address, timeout: .seconds(30))
            let collector = Collector()
            let accepted = try await peer.next()
            accepted.handler = collector
            #expect(await collector.endError() as? TLSError == .handshake("timed out"))
            tcp.abort()
        }
    }

    @Test("the second connection to a server resumes the first one's session, unless they are kept apart")
    func resumption() async throws {
        let resumed = try await onLoop { loop in
            let peer = try TLSPeer(loop, .testServer())
            defer { peer.close() }
            let context = try TLSContext.testClient()
            var resumed: [Bool] = []
            for tag in [nil, nil, nil, 1, 2, 1, nil] as [Int64?] {
                let tcp = try await TCPStream.connect(loop, to: peer.address, timeout: .seconds(30))
                let stream = try await context.connect(
                    tcp,
                    serverName: "localhost",
                    timeout: .seconds(30),
                    isolation: tag
                )
                let collector = Collector()
                stream.handler = collector
                stream.setReading(true)
                let accepted = try await peer.next()
                accepted.write("x")
                try await collector.wait(for: 1)
                resumed.append((stream as? TLSStream)?.didResume ?? false)
                stream.close()
                accepted.close()
            }
            return resumed
        }
        #expect(resumed == [false, true, true, false, false, true, true])
    }

    @Test("files that cannot be used are reported as such")
    func configuration() throws {
        let pairs = try TestCertificates.shared()
        func isRefused(_ make: () throws -> TLSContext) -> Bool {
            do {
                _ = try make()
                return false
            } catch TLSError.configuration {
                return true
            } catch {
                return false
            }
        }
        #expect(isRefused { try .client(alpn: [], authorityFile: "/nonexistent.pem") })
        #expect(
            isRefused {
                try .server(
                    certificateChainFile: pairs.server.certificate,
                    privateKeyFile: pairs.expired.key,
                    alpn: []
                )
            }
        )
        #expect(isRefused { try .server(certificateChainFile: "/nonexistent.pem", privateKeyFile: "", alpn: []) })
        #expect(isRefused { try .client(alpn: [""]) })
    }
}
