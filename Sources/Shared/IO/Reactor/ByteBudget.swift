import Synchronization

/// Memory that many share, on all loops of a process: whoever finds nothing left has to do without.
package final class ByteBudget: Sendable {
    package let limit: Int
    private let taken = Atomic<Int>(0)

    package init(limit: Int) { self.limit = limit }

    /// Bytes taken and not given back.
    package var used: Int { taken.load(ordering: .relaxed) }

    fileprivate func take(_ count: Int) -> Bool {
        guard taken.add(count, ordering: .relaxed).newValue > limit else { return true }
        giveBack(count)
        return false
    }

    fileprivate func giveBack(_ count: Int) { taken.subtract(count, ordering: .relaxed) }
}

/// What one holder has taken of a budget; given back when it ends. Without a budget there is always enough.
package struct ByteShare: ~Copyable {
    private let budget: ByteBudget?
    package private(set) var count = 0

    package init(of budget: ByteBudget?) { self.budget = budget }

    deinit { budget?.giveBack(count) }

    /// Takes so many bytes more; false when they are not there.
    package mutating func take(_ more: Int) -> Bool {
        guard let budget else { return true }
        guard more > 0 else { return true }
        guard budget.take(more) else { return false }
        count += more
        return true
    }

    /// Takes or gives back the difference; false when it is not there.
    package mutating func resize(to size: Int) -> Bool {
        guard size < count else { return take(size - count) }
        budget?.giveBack(count - size)
        count = size
        return true
    }
}
