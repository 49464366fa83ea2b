/// A first-in-first-out queue over a ring of slots: no shifting and, once grown, no allocation.
struct PendingQueue<Element>: ~Copyable {
    private var slots: UnsafeMutablePointer<Element>
    /// A power of two.
    private var capacity: Int
    private var head = 0
    private(set) var count = 0

    private static var smallest: Int { 64 }
    private static var keptWhenEmpty: Int { 4096 }

    init() {
        capacity = Self.smallest
        slots = .allocate(capacity: capacity)
    }

    deinit {
        for offset in 0..<count { (slots + ((head &+ offset) & (capacity &- 1))).deinitialize(count: 1) }
        slots.deallocate()
    }

    var isEmpty: Bool { count == 0 }

    mutating func append(_ element: consuming Element) {
        if count == capacity { move(to: capacity * 2) }
        (slots + ((head &+ count) & (capacity &- 1))).initialize(to: element)
        count &+= 1
    }

    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = (slots + head).move()
        head = (head &+ 1) & (capacity &- 1)
        count &-= 1
        if count == 0, capacity > Self.keptWhenEmpty { move(to: Self.smallest) }
        return element
    }

    private mutating func move(to newCapacity: Int) {
        let new = UnsafeMutablePointer<Element>.allocate(capacity: newCapacity)
        let firstRun = min(count, capacity - head)
        new.moveInitialize(from: slots + head, count: firstRun)
        (new + firstRun).moveInitialize(from: slots, count: count - firstRun)
        slots.deallocate()
        slots = new
        capacity = newCapacity
        head = 0
    }
}
