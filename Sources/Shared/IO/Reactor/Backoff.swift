/// How long to wait before the next attempt to connect: doubling from `first` to `longest`, each with jitter, so that
/// many clients of a restarted server do not come back in step.
package struct Backoff: Sendable {
    private let first: Duration
    private let longest: Duration
    private let stable: Duration
    private var failures: Int64 = 0

    /// - Parameter stable: a connection that lived this long starts the series over.
    package init(
        first: Duration = .milliseconds(50),
        longest: Duration = .seconds(2),
        stable: Duration = .seconds(5)
    ) {
        self.first = first
        self.longest = longest
        self.stable = stable
    }

    /// The delay before the next attempt: half of the step, plus up to the other half.
    ///
    /// - Parameter chance: a random number from 0 up to, not including, 1.
    package mutating func next(chance: Double) -> Duration {
        let doubled = first * (1 << min(failures, 20))
        failures &+= 1
        let step = min(doubled, longest)
        return step / 2 + step / 2 * chance
    }

    /// Call when an established connection ended.
    package mutating func connectionEnded(after lifetime: Duration) {
        if lifetime >= stable { failures = 0 }
    }
}
