import Reactor
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
}
