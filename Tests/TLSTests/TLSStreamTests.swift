import Reactor
import TLS
import TestSupport
import Testing

@Suite("TLS streams")
struct TLSStreamTests {
    struct Connected {
        let client: any ByteStream
        let server: any ByteStream
        let clientReads = Collector()
        let serverReads = Collector()
        let clientWire: Chopper
        let serverWire: Chopper

        func close() {
            client.close()
            server.close()
        }
    }

    /// A client and a server with their handshake behind them, and the wire between TLS and TCP on each side.
    private func connected(
        _ loop: EventLoop,
        chopping size: Int = .max,
        reading: Bool = true
    ) async throws -> Connected {
        let peer = try TLSPeer(loop, .testServer())
        defer { peer.close() }
        var serverWire: Chopper?
        peer.wrap = {
            let wire = Chopper($0, size: size)
            serverWire = wire
            return wire
        }
        let tcp = try await TCPStream.connect(loop, to: peer.address, timeout: .seconds(30))
        let clientWire = Chopper(tcp, size: size)
        let client = try await TLSContext.testClient()
            .connect(clientWire, serverName: "localhost", timeout: .seconds(30))
        let server = try await peer.next()
        let both = try Connected(
            client: client,
            server: server,
            clientWire: clientWire,
            serverWire: #require(serverWire)
        )
        client.handler = both.clientReads
        server.handler = both.serverReads
        client.setReading(true)
        server.setReading(true)
        // A byte each way: now the server too has finished its handshake.
        client.write("c")
        server.write("s")
        try await both.serverReads.wait(for: 1)
        try await both.clientReads.wait(for: 1)
        client.setReading(reading)
        return both
    }

    @Test("bytes arrive whole and in order both ways, and closing tells the peer in order")
    func roundTrip() async throws {
        let count = 3 * 1024 * 1024
        try await onLoop { loop in
            let both = try await connected(loop)
            both.client.write(pattern(count))
            both.server.write(pattern(count))
            try await both.serverReads.wait(for: 1 + count)
            try await both.clientReads.wait(for: 1 + count)
            #expect(both.serverReads.received == [UInt8(ascii: "c")] + pattern(count))
            #expect(both.clientReads.received == [UInt8(ascii: "s")] + pattern(count))
            both.client.close()
            #expect(await both.serverReads.endError() == nil)
            both.server.write("a peer that has ended can still be written to")
            both.server.close()
        }
    }

    @Test("the wire may split records anywhere", arguments: [1, 2, 3, 5, 7, 16, 1021])
    func splitAnywhere(size: Int) async throws {
        try await onLoop { loop in
            let both = try await connected(loop, chopping: size)
            both.client.write(pattern(40_000))
            both.server.write(pattern(40_000))
            try await both.serverReads.wait(for: 40_001)
            try await both.clientReads.wait(for: 40_001)
            #expect(both.serverReads.received.dropFirst().elementsEqual(pattern(40_000)))
            #expect(both.clientReads.received.dropFirst().elementsEqual(pattern(40_000)))
            both.server.close()
            #expect(await both.clientReads.endError() == nil)
            both.client.close()
        }
    }

    @Test("small writes of one turn leave as one record")
    func coalescing() async throws {
        try await onLoop { loop in
            let both = try await connected(loop)
            let before = both.serverWire.writes.count
            for _ in 0..<100 { both.server.write("0123456789") }
            #expect(both.server.bufferedBytes == 1000)
            try await both.clientReads.wait(for: 1001)
            let written = both.serverWire.writes[before...]
            #expect(written.count == 1)
            #expect(written.reduce(0, +) < 1000 + 64)
            both.close()
        }
    }

    @Test("what is written and closed before the handshake is done still arrives")
    func writtenEarly() async throws {
        try await onLoop { loop in
            let peer = try TLSPeer(loop, .testServer())
            defer { peer.close() }
            let tcp = try await TCPStream.connect(loop, to: peer.address, timeout: .seconds(30))
            let accepted = try await peer.next()
            accepted.write("good-bye")
            accepted.close()
            let client = try await TLSContext.testClient().connect(tcp, serverName: "localhost", timeout: .seconds(30))
            let collector = Collector()
            client.handler = collector
            client.setReading(true)
            #expect(await collector.endError() == nil)
            #expect(collector.received == Array("good-bye".utf8))
            client.close()
        }
    }

    @Test("a reader that pauses makes the writer wait, and loses nothing")
    func backPressure() async throws {
        let count = 16 * 1024 * 1024
        try await onLoop { loop in
            let both = try await connected(loop, reading: false)
            both.server.write(pattern(count))
            both.server.notifyWhenDrained()
            await loop.sleep(.milliseconds(50))
            #expect(both.clientReads.received.count == 1)
            #expect(both.server.bufferedBytes > 0)
            #expect(both.serverReads.drains == 0)
            // Reads on, and pauses again in the middle of a callback.
            both.clientReads.onRead = { both.client.setReading(false) }
            for _ in 0..<4 {
                let before = both.clientReads.received.count
                both.client.setReading(true)
                try await both.clientReads.wait(for: before + 1)
                let after = both.clientReads.received.count
                await loop.sleep(.milliseconds(1))
                #expect(both.clientReads.received.count == after)
            }
            both.clientReads.onRead = nil
            both.client.setReading(true)
            try await both.clientReads.wait(for: count + 1)
            #expect(Array(both.clientReads.received.dropFirst()) == pattern(count))
            while both.serverReads.drains == 0 { await loop.sleep(.milliseconds(1)) }
            #expect(both.serverReads.drains == 1)
            #expect(both.server.bufferedBytes == 0)
            both.close()
        }
    }

    @Test("a connection cut without close_notify is an error, not an end")
    func truncation() async throws {
        try await onLoop { loop in
            let both = try await connected(loop)
            both.serverWire.lower.close()
            #expect(
                await both.clientReads.endError() as? TLSError
                    == .protocolViolation("connection ended without close_notify")
            )
            both.close()
        }
    }

    @Test("a damaged record ends the connection and is not delivered")
    func damaged() async throws {
        try await onLoop { loop in
            let both = try await connected(loop)
            both.clientWire.damagedByte = 100_000
            both.server.write(pattern(200_000))
            let error = await both.clientReads.endError() as? TLSError
            guard case .protocolViolation = error else {
                Issue.record("ended with \(String(describing: error))")
                return
            }
            #expect(both.clientReads.received.count < 101_000)
            #expect(
                both.clientReads.received.dropFirst().elementsEqual(
                    pattern(200_000).prefix(both.clientReads.received.count - 1)
                )
            )
            both.close()
        }
    }

    @Test("abort loses what is queued and calls nobody any more")
    func abort() async throws {
        try await onLoop { loop in
            let both = try await connected(loop)
            both.client.write(pattern(1000))
            both.client.abort()
            #expect(both.client.bufferedBytes == 0)
            #expect(await both.serverReads.endError() != nil)
            #expect(!both.clientReads.ended.isFulfilled)
            both.server.close()
        }
    }
}
