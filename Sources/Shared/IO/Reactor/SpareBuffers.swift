/// Empty buffers with memory, for whoever writes next: output waits in one no longer than a turn of the loop, as a rule.
struct SpareBuffers {
    private var buffers: [[UInt8]] = []

    /// Larger ones are not kept, and not more than so many.
    static let largest = 16 * 1024
    private static let limit = 32

    /// One that may have memory.
    mutating func take() -> [UInt8] { buffers.popLast() ?? [] }

    /// Takes the memory of an empty buffer.
    mutating func leave(_ buffer: inout [UInt8]) {
        var left: [UInt8] = []
        swap(&left, &buffer)
        if left.capacity <= Self.largest, buffers.count < Self.limit { buffers.append(left) }
    }
}
