import Bytes

/// The body of one request: what has arrived, and the task that waits for the rest.
struct RequestBody {
    private var bytes: [UInt8] = []
    private(set) var isComplete = false
    private(set) var failure: RequestBodyError?
    /// The handler has asked for it.
    private(set) var isWanted = false
    private var limit = Int.max
    private var waiter: UnsafeContinuation<Void, Never>?

    /// What a parser may read beyond the end.
    private static let padding = 64
    /// The most that a mere announcement makes us reserve.
    private static let largestReservation = 1024 * 1024
    /// What is read at a time where that is used up.
    private static let smallestRoom = 256 * 1024

    var count: Int { bytes.count }
    /// Whether more bytes are of any use.
    var isOpen: Bool { !isComplete && failure == nil }

    /// - Parameter left: how many bytes are to follow this piece, as far as that is known.
    mutating func append(_ piece: UnsafeRawBufferPointer, left: Int) {
        guard isOpen else { return }
        guard bytes.count + piece.count <= limit else { return fail(.tooLarge) }
        guard bytes.isEmpty else { return bytes.append(contentsOf: piece) }
        let room = max(piece.count, min(piece.count + left, Self.largestReservation))
        bytes.append(atMost: room + Self.padding) { $0.write(piece) }
    }

    /// Reads up to so many bytes straight to where they belong. `didRead` counts them.
    mutating func read(atMost left: Int, _ read: (UnsafeMutableRawBufferPointer) -> Int) {
        guard isOpen else { return }
        let room = min(left, max(bytes.capacity - bytes.count - Self.padding, Self.smallestRoom))
        bytes.append(addingCapacity: room) { span in
            span.withUnsafeMutableBufferPointer { buffer, count in
                let free = UnsafeMutableRawBufferPointer(buffer)[count..<min(count + room, buffer.count)]
                count += read(UnsafeMutableRawBufferPointer(rebasing: free))
            }
        }
    }

    mutating func didRead() {
        if isOpen, bytes.count > limit { fail(.tooLarge) }
    }

    /// What has arrived.
    var arrived: [UInt8] { bytes }

    mutating func complete() {
        guard isOpen else { return }
        isComplete = true
        wake()
    }

    /// The first failure counts; a body that is complete can only fail by its caller's leaving.
    mutating func fail(_ error: RequestBodyError) {
        guard failure == nil, !isComplete || error == .callerGone else { return }
        failure = error
        bytes = []
        wake()
    }

    mutating func want(limit: Int) {
        isWanted = true
        self.limit = limit
        guard bytes.count > limit, failure == nil else { return }
        // Also one that has arrived whole before anybody asked for it.
        failure = .tooLarge
        bytes = []
    }

    mutating func wait(_ continuation: UnsafeContinuation<Void, Never>) { waiter = continuation }

    mutating func take() throws(RequestBodyError) -> [UInt8] {
        if let failure { throw failure }
        var taken: [UInt8] = []
        swap(&taken, &bytes)
        taken.reserveCapacity(taken.count + Self.padding)
        return taken
    }

    private mutating func wake() {
        waiter?.resume()
        waiter = nil
    }
}
