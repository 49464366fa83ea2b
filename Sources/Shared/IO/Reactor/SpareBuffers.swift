/// Empty buffers with memory, for whoever writes next: output waits in one no longer than a turn of the loop, as a rule.
struct SpareBuffers {
    private var buffers: [[UInt8]] = []

    /// Larger ones are not kept, and not more than so many.
    private static let largest = 16 * 1024
    private static let limit = 32
    /// Of a new one: enough for a small answer, head and all.
    private static let smallest = 2048

    mutating func take() -> [UInt8] {
        if let buffer = buffers.popLast() { return buffer }
        var buffer: [UInt8] = []
        buffer.reserveCapacity(Self.smallest)
        return buffer
    }

    /// Takes the memory of an empty buffer.
    mutating func leave(_ buffer: inout [UInt8]) {
        var left: [UInt8] = []
        swap(&left, &buffer)
        if left.capacity <= Self.largest, buffers.count < Self.limit { buffers.append(left) }
    }
}
