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
    private struct Entry {
        var time: MonotonicTime
        var item: Expiring
    }
    private var heap: [Entry] = []
    private var timer: LoopTimer?
    private var armedFor: MonotonicTime?

    init(_ loop: EventLoop) {
        timer = LoopTimer(loop) { [unowned self] in timerDidFire() }
    }

    /// Queues the item, or moves it forward; one queued for an earlier time stays as it is.
    func add(_ item: Expiring, at time: MonotonicTime) {
        if item.place < 0 {
            item.place = heap.count
            heap.append(Entry(time: time, item: item))
        } else {
            guard time < heap[item.place].time else { return }
            heap[item.place].time = time
        }
        siftUp(from: item.place)
        arm()
    }

    func remove(_ item: Expiring) {
        let place = item.place
        guard place >= 0 else { return }
        item.place = -1
        let last = heap.removeLast()
        guard place < heap.count else { return }
        heap[place] = last
        last.item.place = place
        siftUp(from: place)
        siftDown(from: last.item.place)
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
            remove(first.item)
            if let next = first.item.deadlineDidPass(now) { add(first.item, at: max(next, now + .nanoseconds(1))) }
        }
        arm()
    }

    // MARK: Order

    private func siftUp(from start: Int) {
        var place = start
        while place > 0 {
            let parent = (place - 1) / 2
            guard heap[place].time < heap[parent].time else { return }
            exchange(place, parent)
            place = parent
        }
    }

    private func siftDown(from start: Int) {
        var place = start
        while true {
            var least = 2 * place + 1
            guard least < heap.count else { return }
            if least + 1 < heap.count, heap[least + 1].time < heap[least].time { least += 1 }
            guard heap[least].time < heap[place].time else { return }
            exchange(place, least)
            place = least
        }
    }

    private func exchange(_ left: Int, _ right: Int) {
        heap.swapAt(left, right)
        heap[left].item.place = left
        heap[right].item.place = right
    }
}
