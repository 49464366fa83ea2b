import Reactor

/// Something that a `DeadlineQueue` wakes.
class Expiring {
    /// Where the queue has it; -1 while it is in none.
    fileprivate var place = -1

    /// Called when the time it was queued for has come.
    ///
    /// - Returns: when to call again; nil to leave the queue. Things are queued for the earliest time at which they
    ///   may be due and find out here whether they are: progress then costs a store, not a restarted timer.
    func deadlineDidPass(_ now: MonotonicTime) -> MonotonicTime? { nil }
}

/// The deadlines of many things on one timer of the loop: an ordered heap.
final class DeadlineQueue {
    /// Holds its item by hand, from `add` to `remove`: counting references at each step would cost more than the step.
    private struct Entry {
        var time: MonotonicTime
        let item: Unmanaged<Expiring>
    }
    private var heap: [Entry] = []
    private var timer: LoopTimer?
    private var armedFor: MonotonicTime?

    init(_ loop: EventLoop) {
        timer = LoopTimer(loop) { [unowned self] in timerDidFire() }
    }

    deinit {
        for entry in heap { entry.item.release() }
    }

    /// Queues the item, or moves it forward; one queued for an earlier time stays as it is.
    func add(_ item: Expiring, at time: MonotonicTime) {
        if item.place < 0 {
            heap.append(Entry(time: time, item: .passRetained(item)))
            siftUp(from: heap.count - 1)
        } else {
            guard time < heap[item.place].time else { return }
            heap[item.place].time = time
            siftUp(from: item.place)
        }
        arm()
    }

    func remove(_ item: Expiring) {
        let place = item.place
        guard place >= 0 else { return }
        item.place = -1
        let entry = heap[place]
        let last = heap.removeLast()
        if place < heap.count {
            heap[place] = last
            // One of the two moves it, or neither.
            siftUp(from: place)
            siftDown(from: place)
        }
        entry.item.release()
    }

    var count: Int { heap.count }

    // MARK: Waking

    private func arm() {
        guard let first = heap.first, armedFor.map({ first.time < $0 }) ?? true else { return }
        armedFor = first.time
        timer?.start(after: max(first.time - .now, .milliseconds(1)))
    }

    private func timerDidFire() {
        armedFor = nil
        let now = MonotonicTime.now
        while let first = heap.first, first.time <= now {
            let item = first.item.takeUnretainedValue()
            remove(item)
            if let next = item.deadlineDidPass(now) { add(item, at: max(next, now + .nanoseconds(1))) }
        }
        arm()
    }

    // MARK: Order

    private func siftUp(from start: Int) {
        let entry = heap[start]
        var place = start
        while place > 0 {
            let parent = (place - 1) >> 1
            guard entry.time < heap[parent].time else { break }
            put(heap[parent], at: place)
            place = parent
        }
        put(entry, at: place)
    }

    private func siftDown(from start: Int) {
        let entry = heap[start]
        var place = start
        while true {
            var least = 2 * place + 1
            guard least < heap.count else { break }
            if least + 1 < heap.count, heap[least + 1].time < heap[least].time { least += 1 }
            guard heap[least].time < entry.time else { break }
            put(heap[least], at: place)
            place = least
        }
        put(entry, at: place)
    }

    private func put(_ entry: Entry, at place: Int) {
        heap[place] = entry
        entry.item._withUnsafeGuaranteedRef { $0.place = place }
    }
}
