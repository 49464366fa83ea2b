import GatewayKit
import HTTPFetching
import Snapshots
import TestSupport
import Testing

@Suite(
    "Accounts at one upstream",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct IsolationTests {
    @Test(
        "share a connection, or have one each where the setting says so",
        arguments: [(0, 1), (1, 2)] as [(Int64, Int)]
    )
    func connections(setting: Int64, connections: Int) async throws {
        var options = Stand.Options()
        options.accounts = 2
        options.concurrency = 1
        options.wire = .h2
        options.isSimulated = true
        options.settings = ["account_isolation": setting]
        try await standing(options) { (stand) async throws in
            // The first account is full with the first call.
            let body = Speech.anthropic.body("claude-sim-e3-stall1", isStream: true)
            var readings: [Reading] = []
            for _ in 0..<2 {
                let reading = Reading(try await stand.post("/v1/messages", body), stand.loop)
                try await reading.wait(for: "content_block_delta")
                readings.append(reading)
            }
            #expect(stand.context.client.openConnections == connections)
            for reading in readings { reading.leave() }
        }
    }
}
