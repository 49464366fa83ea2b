import Crypto
import Domain
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Snapshots
import TLS
import TestSupport
import Testing

@testable import GatewayKit

@Suite("Accounts with a proxy", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct ProxiedAccountTests {
    enum Way: String, CaseIterable { case http, https, socks5 }

    private static let password = "pass:word"

    /// Puts a proxy that wants a password before the first account.
    private static func proxy(_ stand: Stand, _ way: Way = .http, password: String = password) async throws -> TestProxy
    {
        var tls: TLSContext?
        if way == .https {
            let pair = try TestCertificates.shared().server
            tls = try .server(certificateChainFile: pair.certificate, privateKeyFile: pair.key, alpn: [])
        }
        let proxy = try TestProxy(stand.loop, way == .socks5 ? .socks5 : .connect, tls: tls)
        proxy.credentials = ("user", Self.password)
        let id = ProxyID(4)
        let sealed = SealedBox.seal(
            Secret(password),
            for: ProxySnapshot.passwordSealingContext(of: id),
            with: stand.ring,
            nonce: SecureRandom.bytes(SealedBox.nonceBytes)
        )
        stand.changeConfig {
            $0.accounts[0].proxy = ProxySnapshot(
                id: id,
                scheme: way.rawValue,
                host: "localhost",
                port: Int(proxy.address.port),
                username: "user",
                sealedPassword: sealed
            )
        }
        try await stand.publish()
        return proxy
    }

    private static var options: Stand.Options {
        get throws {
            var options = Stand.Options()
            options.proxyAuthority = try TestCertificates.shared().authority.certificate
            return options
        }
    }

    @Test(
        "whole answers and streams pass through the proxy byte for byte, and are billed once",
        arguments: Way.allCases
    )
    func passes(way: Way) async throws {
        try await standing(Self.options) { (stand) async throws in
            let proxy = try await Self.proxy(stand, way)
            defer { proxy.close() }
            stand.upstream.script = { call in
                if call.text.contains("true") { call.stream(Says.whole()) } else { call.answer(200, Says.message()) }
            }
            let whole = try await stand.ask()
            #expect(whole.head.status == 200)
            #expect(try await whole.text() == Says.message())
            let stream = try await stand.ask(stream: true)
            #expect(stream.head.headers["content-type"] == "text/event-stream")
            #expect(try await stream.text() == Says.whole())
            #expect(stand.upstream.calls.map(\.text) == [Stand.body(), Stand.body(stream: true)])
            #expect(stand.upstream.calls.allSatisfy { $0.exchange.request.headers["x-api-key"] == "sk-upstream-1" })
            #expect(stand.upstream.calls.allSatisfy { !$0.exchange.request.headers.contains("proxy-authorization") })
            let target = "127.0.0.1:\(stand.upstream.address?.port ?? 0)"
            #expect(!proxy.targets.isEmpty && proxy.targets.allSatisfy { $0 == target })
            let records = try await stand.records(2)
            #expect(records.count == 2 && records.allSatisfy { $0.end == .complete && !$0.isEstimated })
            try await stand.quiesce()
            #expect(stand.context.proxied.openExchanges == 0)
        }
    }

    @Test("events pass as they arrive; a caller that leaves has its answer read to the end and billed")
    func callerGone() async throws {
        try await standing(Self.options) { (stand) async throws in
            let proxy = try await Self.proxy(stand)
            defer { proxy.close() }
            let asked = stand.loop.start { try await stand.ask(stream: true) }
            let call = try await stand.upstream.call()
            call.startStream()
            call.send(Says.start() + Says.blockStart + Says.delta("a"))
            let reading = Reading(try await asked.wait(), stand.loop)
            try await reading.wait(for: Says.delta("a"))
            call.send(Says.delta("b"))
            try await reading.wait(for: Says.delta("b"))
            reading.leave()
            await stand.loop.wait { stand.context.drains.count(of: KeyID(1)) == 1 }
            call.send(Says.messageDelta(output: 70) + Says.stop)
            call.finish()
            let records = try await stand.records(1)
            #expect(records.map(\.end) == [.callerGone])
            #expect(records.first?.usage.output == 70)
        }
    }

    @Test("a caller that leaves before the answer takes its request along")
    func cancelled() async throws {
        try await standing(Self.options) { (stand) async throws in
            let proxy = try await Self.proxy(stand)
            defer { proxy.close() }
            let (loop, caller) = (stand.loop, FetchCanceller())
            let asked = loop.start {
                try await stand.caller.send(stand.request(body: Array(Stand.body().utf8)), canceller: caller)
            }
            let call = try await stand.upstream.call()
            caller.cancel()
            await loop.wait { call.isGone }
            #expect(call.isGone)
            await #expect(throws: FetchError.cancelled) { _ = try await asked.wait() }
            try await stand.quiesce()
            #expect(try await stand.records().isEmpty)
        }
    }

    @Test("a slow caller makes the upstream wait, and gets everything")
    func backPressure() async throws {
        try await standing(Self.options) { (stand) async throws in
            let proxy = try await Self.proxy(stand)
            defer { proxy.close() }
            let piece = Says.delta(String(repeating: "x", count: 16 * 1024))
            var sent = 0
            // Far more than the kernel holds, whatever the machine allows a socket.
            var goal = 40_000
            stand.upstream.script = { call in
                call.startStream()
                call.send(Says.start() + Says.blockStart)
                while sent < goal, !call.isGone {
                    while call.exchange.pendingBytes > 1 << 20, !call.isGone {
                        await stand.loop.sleep(.milliseconds(1))
                    }
                    call.send(piece)
                    sent += 1
                }
                call.send(Says.messageDelta() + Says.stop)
                call.finish()
            }
            let response = try await stand.ask(stream: true)
            var taken = 0
            var isOver = false
            response.setPaused(true)
            response.consume {
                taken += $0.count
            } onEnd: { _ in
                isOver = true
            }
            var last = -1
            // Until nothing moves any more: kernel buffers are full from end to end.
            while last != sent {
                last = sent
                await stand.loop.sleep(.milliseconds(300))
            }
            #expect(sent < goal)
            goal = sent + 500
            response.setPaused(false)
            await stand.loop.wait { isOver }
            #expect(
                taken == (Says.start() + Says.blockStart + Says.messageDelta() + Says.stop).utf8.count + goal
                    * piece.utf8.count
            )
        }
    }

    enum Trouble: CaseIterable { case refuses, hangs, gone, wrongPassword, sealedElsewhere }

    @Test(
        "a proxy that fails moves the call to the next account, and never to its upstream directly",
        arguments: Trouble.allCases
    )
    func failover(trouble: Trouble) async throws {
        var options = try Self.options
        options.accounts = 2
        options.settings = ["connect_timeout_seconds": 1]
        try await standing(options) { (stand) async throws in
            let proxy = try await Self.proxy(stand, password: trouble == .wrongPassword ? "other" : Self.password)
            defer { proxy.close() }
            switch trouble {
            case .refuses: stand.changeConfig { $0.accounts[0].plainCredentials["base_url"] = "http://127.0.0.1:1" }
            case .hangs: proxy.hangs = true
            case .gone: proxy.close()
            case .wrongPassword: break
            case .sealedElsewhere: stand.changeConfig { $0.accounts[0].proxy?.id = ProxyID(5) }
            }
            try await stand.publish()
            stand.upstreams[1].script = { $0.answer(200, Says.message()) }
            let response = try await stand.ask()
            #expect(response.head.status == 200)
            #expect(stand.upstreams[0].calls.isEmpty)
            let records = try await stand.records(1)
            #expect(records.map(\.account) == [AccountID(2)])
        }
    }
}
