package import Domain

/// How many entries to read of each partition: few where little is going on, many where there is a backlog, and never
/// more at once than fits into memory. Pure.
package struct ReadPlan {
    package static let smallest = 256
    package static let largest = 8192
    /// Of one round, over all partitions.
    package static let total = 16_384

    private var wanted: [Partition: Int] = [:]
    private var next = 0

    package init() {}

    /// What to read in this round. When not everything fits, the next round goes on where this one stopped.
    package mutating func round(_ owned: Set<Partition>) -> [(partition: Partition, limit: Int)] {
        let order = owned.sorted()
        guard !order.isEmpty else { return [] }
        var round: [(Partition, Int)] = []
        var sum = 0
        for offset in order.indices {
            let partition = order[(next + offset) % order.count]
            let limit = wanted[partition] ?? Self.smallest
            guard sum == 0 || sum + limit <= Self.total else {
                next = (next + offset) % order.count
                return round
            }
            sum += limit
            round.append((partition, limit))
        }
        return round
    }

    package mutating func note(_ partition: Partition, wasFull: Bool) {
        let limit = wanted[partition] ?? Self.smallest
        wanted[partition] = wasFull ? min(limit * 2, Self.largest) : max(limit / 2, Self.smallest)
    }
}
