import Reactor
import Redis
import Testing

extension Stand {
    /// Waits until Redis or the gateway, asked again and again, says so; a fault of the test after that time.
    func until(within time: Duration = .seconds(60), _ isTrue: () async throws -> Bool) async throws {
        let start = MonotonicTime.now
        while start.elapsed < time {
            if try await isTrue() { return }
            await loop.sleep(.milliseconds(2))
        }
        Issue.record("not within \(time)")
    }

    /// How many scripts Redis has run so far.
    func scriptCalls() async throws -> Int {
        let text = try await run("INFO", "commandstats").text ?? ""
        let rest = text.split(separator: "cmdstat_evalsha:calls=").dropFirst().first
        return rest.flatMap { Int($0.prefix { $0 != "," }) } ?? 0
    }
}
