import Domain
import GatewayKit
import HTTPFetching
import HTTPMessages
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@Suite(
    "Storms of refusals",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct StormTests {
    @Test(
        "a storm of 429, 529 and 5xx on half of the pool loses no call that another account can serve",
        arguments: [false, true]
    )
    func half(isStream: Bool) async throws {
        var options = Stand.Options()
        options.accounts = 10
        options.concurrency = 6
        let limit = options.concurrency
        try await standing(options) { (stand) async throws in
            // Chance decides, so that every call may meet a bad one first.
            stand.changeConfig { for index in $0.accounts.indices { $0.accounts[index].priority = 1 } }
            try await stand.publish()
            let refusals: [(Int, HeaderFields)] = [
                (429, ["retry-after": "1"]), (429, [:]), (529, [:]), (500, [:]), (503, [:]),
            ]
            var most = 0
            for (number, upstream) in stand.upstreams.enumerated() {
                if number < refusals.count {
                    let (status, headers) = refusals[number]
                    upstream.script = { $0.answer(status, Says.failure("api_error", "no"), headers) }
                } else {
                    var atOnce = 0
                    upstream.script = { call in
                        atOnce += 1
                        most = max(most, atOnce)
                        await stand.loop.sleep(.milliseconds(3))
                        atOnce -= 1
                        if isStream { call.stream(Says.whole()) } else { call.answer(200, Says.message()) }
                    }
                }
            }
            var statuses: [Int: Int] = [:]
            var left = 300
            for _ in 0..<left {
                stand.loop.spawn {
                    let response = try? await stand.ask(stream: isStream)
                    let text = try? await response?.text()
                    let isWhole = text == (isStream ? Says.whole() : Says.message())
                    statuses[isWhole ? response?.head.status ?? 0 : 0, default: 0] += 1
                    left -= 1
                }
            }
            for _ in 0..<4 { await stand.loop.wait { left == 0 } }
            #expect(statuses == [200: 300])
            #expect(most <= limit, "no account exceeds its concurrency")
            try await stand.quiesce()
            let records = try await stand.records(300)
            #expect(records.count == 300 && Set(records.map(\.requestID)).count == 300)
            #expect(records.allSatisfy { $0.account.raw > 5 })
            for account in stand.config.accounts {
                #expect(try await stand.count("ZCARD", RedisNames.slots(of: account.id)) == 0)
            }
        }
    }
}
