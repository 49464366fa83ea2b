import CXXHash

/// An XXH64 of bytes that come in pieces.
package struct XXH64Stream: ~Copyable {
    private let state: OpaquePointer

    package init(seed: UInt64 = 0) {
        // Of one small size whatever is hashed: without memory for it there is none for any Swift object either.
        guard let state = XXH64_createState() else { fatalError("no memory for a hash") }
        self.state = state
        _ = XXH64_reset(state, seed)
    }

    deinit { _ = XXH64_freeState(state) }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        _ = XXH64_update(state, start, bytes.count)
    }

    package mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    /// The hash of all that came until now; more may follow.
    package var digest: UInt64 { XXH64_digest(state) }
}
