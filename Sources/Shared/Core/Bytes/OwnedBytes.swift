/// Bytes that their only owner lends: nobody counts references to them, as each use of a class's array would.
@usableFromInline
package struct OwnedBytes: ~Copyable {
    @usableFromInline let memory: UnsafeMutableRawBufferPointer

    package init(_ bytes: [UInt8] = []) {
        memory = .allocate(byteCount: bytes.count, alignment: 1)
        memory.copyBytes(from: bytes)
    }

    @inlinable package var count: Int { memory.count }

    /// - Parameter body: gets bytes that are valid until it returns.
    @inlinable @inline(__always)
    package borrowing func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        body(UnsafeRawBufferPointer(memory))
    }

    deinit { memory.deallocate() }
}
