/// DATA frames that follow each other: they leave in one system call, their bodies uncopied.
struct DataRun {
    private struct Frame {
        let exchange: Exchange
        let start: Int
        let count: Int
    }
    static let headerBytes = 9
    /// Up to this size a copy costs less than a place in a run.
    static let smallest = 1024
    private static let limit = 32

    private var headers: [UInt8] = []
    private var frames: [Frame] = []

    var isFull: Bool { frames.count >= Self.limit }

    /// Adds the next frame: so many bytes of the exchange's body from where it has been sent to.
    mutating func add(_ exchange: Exchange, _ header: UnsafeBufferPointer<UInt8>, _ count: Int) {
        headers.append(contentsOf: header)
        frames.append(Frame(exchange: exchange, start: exchange.bodySent, count: count))
    }

    /// Hands out headers and pieces of the bodies in their order, and forgets them.
    mutating func take(_ write: (UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Void) {
        guard !frames.isEmpty else { return }
        headers.withUnsafeBytes { headers in
            withUnsafeTemporaryAllocation(of: UnsafeRawBufferPointer.self, capacity: frames.count * 2) { pieces in
                gather(frames[...], headers, pieces) { write(UnsafeBufferPointer(pieces)) }
            }
        }
        headers.removeAll(keepingCapacity: true)
        frames.removeAll(keepingCapacity: true)
    }

    /// A body's memory is lent inside a closure: one frame deeper for each, and all of it is there in the innermost.
    private func gather(
        _ rest: ArraySlice<Frame>,
        _ headers: UnsafeRawBufferPointer,
        _ pieces: UnsafeMutableBufferPointer<UnsafeRawBufferPointer>,
        _ write: () -> Void
    ) {
        guard let frame = rest.first else { return write() }
        frame.exchange.request.body.withUnsafeBytes { body in
            let header = rest.startIndex * Self.headerBytes
            let start = min(frame.start, body.count)
            let end = min(start + frame.count, body.count)
            pieces[2 * rest.startIndex] = UnsafeRawBufferPointer(rebasing: headers[header..<header + Self.headerBytes])
            pieces[2 * rest.startIndex + 1] = UnsafeRawBufferPointer(rebasing: body[start..<end])
            gather(rest.dropFirst(), headers, pieces, write)
        }
    }
}
