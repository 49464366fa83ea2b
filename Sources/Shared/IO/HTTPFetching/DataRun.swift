/// DATA frames of one request's body that follow each other: they leave in one system call, the body uncopied.
struct DataRun {
    static let headerBytes = 9
    private static let limit = 32

    private(set) var exchange: Exchange?
    private var start = 0
    private var headers: [UInt8] = []
    private var counts: [Int] = []

    var isFull: Bool { counts.count >= Self.limit }

    /// Adds the exchange's next frame; the run is empty or of the same exchange.
    mutating func add(_ exchange: Exchange, _ header: UnsafeBufferPointer<UInt8>, _ count: Int) {
        if counts.isEmpty {
            self.exchange = exchange
            start = exchange.bodySent
        }
        headers.append(contentsOf: header)
        counts.append(count)
    }

    /// Hands out headers and pieces of the body in their order, and forgets them.
    mutating func take(_ write: (UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Void) {
        guard let exchange else { return }
        self.exchange = nil
        exchange.request.body.withUnsafeBytes { body in
            headers.withUnsafeBytes { headers in
                withUnsafeTemporaryAllocation(of: UnsafeRawBufferPointer.self, capacity: counts.count * 2) { pieces in
                    var from = min(start, body.count)
                    for (index, count) in counts.enumerated() {
                        let end = min(from + count, body.count)
                        let header = index * Self.headerBytes
                        pieces[2 * index] = UnsafeRawBufferPointer(
                            rebasing: headers[header..<header + Self.headerBytes]
                        )
                        pieces[2 * index + 1] = UnsafeRawBufferPointer(rebasing: body[from..<end])
                        from = end
                    }
                    write(UnsafeBufferPointer(pieces))
                }
            }
        }
        headers.removeAll(keepingCapacity: true)
        counts.removeAll(keepingCapacity: true)
    }
}
