import Domain
import Formats
import GatewayKit
import HTTPFetching
import HTTPMessages
import HTTPServing
import Providers
import Reactor
import Redis
import Service
import Snapshots
import Telemetry
import TestSupport
import Testing

/// A whole worker on threads of its own, beside a stand whose Redis, upstream and control plane it uses.
private final class RunningWorker: @unchecked Sendable {
    let stand: Stand
    let port: UInt16
    let opsPort: UInt16
    private let thread: LoopThread
    private var worker: Worker?

    init(_ stand: Stand, port: UInt16? = nil) throws {
        self.stand = stand
        let ports = try [freePort(), freePort()]
        self.port = port ?? ports[0]
        opsPort = ports[1]
        let key = Base64.encode(Stand.secret, .standard)
        var reader = ConfigReader(environment: [
            "TOLLGATE_REDIS_URL": stand.server.url, "TOLLGATE_INTERNAL_TOKEN": "token", "TOLLGATE_SNAPSHOT_KEY": key,
            "TOLLGATE_MASTER_KEYS": "m1:" + key, "TOLLGATE_LISTEN": "127.0.0.1:\(self.port)",
            "TOLLGATE_OPS_LISTEN": "127.0.0.1:\(opsPort)", "TOLLGATE_LOOPS": "2",
            "TOLLGATE_INTERNAL_URL": "http://\(stand.control.target.authority)",
        ])
        let config = WorkerConfig(&reader)
        try #require(reader.faults.isEmpty)
        thread = try LoopThread(name: "worker")
        let loop = thread.loop
        let log = Log(service: "worker", level: .error, descriptor: 2)
        loop.execute { [self] in
            worker = try? Worker(config, loop, log)
            do { try worker?.start() } catch { worker?.couldNotStart(error) }
        }
    }

    func get(_ path: String, ops: Bool = true) async throws -> (status: Int, body: String) {
        let endpoint = Endpoint(isTLS: false, host: "127.0.0.1", port: ops ? opsPort : port)
        let head = HTTPRequestHead(method: "GET", target: path)
        let response = try await stand.caller.send(FetchRequest(to: endpoint, head))
        return (response.head.status, try await response.text())
    }

    func ask() async throws -> FetchResponse {
        var request = stand.request(body: Array(Stand.body(stream: true).utf8))
        request.endpoint.port = port
        return try await stand.caller.send(request)
    }

    func wait(forStatus status: Int, _ text: String = "") async throws -> String {
        let start = MonotonicTime.now
        while start.elapsed < .seconds(15) {
            if let answer = try? await get("/health/ready"), answer.status == status,
                text.isEmpty || answer.body.contains(text)
            {
                return answer.body
            }
            await stand.loop.sleep(.milliseconds(5))
        }
        return try await get("/health/ready").body
    }

    func stop() {
        thread.loop.execute { [self] in worker?.stop() }
    }

    /// Waits until its main loop has ended by itself; returns whether it had failed.
    func end() async -> Bool {
        let thread = thread
        nonisolated(unsafe) let mine = thread
        await stand.loop.offload { mine.join() }
        return worker?.hasFailed ?? true
    }
}

@Suite("A worker", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct WorkerTests {
    @Test("it becomes ready by itself, serves, and ends when its streams and settlements have")
    func life() async throws {
        try await standing { (stand) async throws in
            let running = try RunningWorker(stand)
            let ready = #""status":"ready""#
            #expect(try await running.wait(forStatus: 200, ready).contains(ready))
            #expect(try await running.get("/health/live").status == 200)
            // What it can read is known, so that it goes on being written.
            let format = String(SnapshotFormat.current)
            try await stand.until { try await stand.run("ZSCORE", RedisNames.formats, format) != .null }
            let metrics = try await running.get("/metrics").body
            for name in [
                "requests_total", "request_duration_seconds", "upstream_seconds", "overhead_seconds",
                "upstream_verdicts_total", "tokens_total", "cost_nanousd_total", "account_slots_in_use",
                "snapshot_revision", "snapshot_age_seconds", "loop_delay_seconds",
            ] {
                #expect(metrics.contains("\n# TYPE tollgate_\(name) ") || metrics.hasPrefix("# TYPE tollgate_\(name) "))
            }
            #expect(metrics.contains("\ntollgate_snapshot_revision 10.0\n"))
            #expect(try await running.get("/v1/messages").status == 404)
            let asked = stand.loop.start { try await running.ask() }
            let call = try await stand.upstream.call()
            call.startStream()
            call.send(Says.start() + Says.blockStart)
            let reading = Reading(try await asked.wait(), stand.loop)
            try await reading.wait(for: "content_block_start")
            #expect(try await running.get("/metrics").body.contains("\ntollgate_account_slots_in_use 1\n"))
            running.stop()
            #expect(try await running.wait(forStatus: 503).contains("draining"))
            call.send(Says.messageDelta() + Says.stop)
            call.finish()
            #expect(try await reading.rest().hasSuffix(Says.stop))
            #expect(await !running.end())
            #expect(try await stand.records().count == 1)
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: AccountID(1))) == 0)
        }
    }

    @Test("it is not ready without a configuration, and degraded without the control plane")
    func readiness() async throws {
        try await standing { (stand) async throws in
            try await stand.run("DEL", RedisNames.config)
            let running = try RunningWorker(stand)
            #expect(try await running.wait(forStatus: 503).contains("down"))
            _ = await stand.control.server.drain(deadline: .zero)
            try await stand.publish()
            try await stand.run("PUBLISH", RedisNames.announcements, "config 1.10")
            #expect(try await running.wait(forStatus: 200).contains("degraded"))
            running.stop()
            #expect(await !running.end())
        }
    }

    @Test("one that cannot listen ends, and says that it failed")
    func portTaken() async throws {
        try await standing { (stand) async throws in
            let running = try RunningWorker(stand, port: stand.address.port)
            #expect(await running.end())
        }
    }
}
