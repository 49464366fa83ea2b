/// One event of a Server-Sent-Events stream while it is being looked at.
///
/// The buffers are valid during the callback only. A block without data (comments, a bare blank line) is lent as well,
/// so that the `raw` bytes of all events, one after the other, are the stream byte for byte.
package struct SSEEvent {
    /// Every byte of the event, the blank line that ends it included.
    package let raw: UnsafeRawBufferPointer
    /// The value of the last `event:` field; empty without one, which means `message`.
    package let name: UnsafeRawBufferPointer
    /// The values of all `data:` fields, joined by a line feed.
    package let data: UnsafeRawBufferPointer
    /// The value of the last `id:` field; empty without one.
    package let id: UnsafeRawBufferPointer
    /// Whether there was a `data:` field: without one a client ignores the event.
    package let hasData: Bool
    /// False for what was left when the stream ended without a blank line; a client ignores it.
    package let isComplete: Bool
}

package enum SSEError: Error, Equatable {
    /// An event exceeded `maximumEventBytes`.
    case eventTooLarge
}

/// Splits a Server-Sent-Events stream into events (WHATWG HTML, 9.2.6), wherever the stream is cut into chunks.
///
/// An event that lies within one chunk is lent where it stands; only the part of an event that a chunk leaves open is
/// kept. Any of LF, CRLF and CR ends a line. After a throw the parser must not be fed again.
package struct SSEParser {
    /// A buffer larger than this is given back after the event it was needed for.
    private static let retainedBytes = 8192

    private let maximumEventBytes: Int
    /// The event that earlier chunks left open.
    private var pending: [UInt8] = []
    private var joined: [UInt8] = []
    private var boundary = SSEBoundary()
    private var isAtStart = true

    package init(maximumEventBytes: Int = 16 << 20) { self.maximumEventBytes = maximumEventBytes }

    /// How many bytes of the event that is still open there are.
    package var pendingCount: Int { pending.count }

    /// Bytes of the event that is still open.
    package var pendingBytes: [UInt8] { pending }

    /// Scans a chunk and lends every event that it completes.
    /// - Throws: `SSEError`, or what `onEvent` throws.
    package mutating func feed(_ chunk: UnsafeRawBufferPointer, _ onEvent: (SSEEvent) throws -> Void) throws {
        guard let base = chunk.baseAddress, !chunk.isEmpty else { return }
        var lines = SSELineEnds(chunk)
        var eventStart = 0
        while let end = boundary.nextEnd(in: &lines) {
            let part = UnsafeRawBufferPointer(start: base + eventStart, count: end - eventStart)
            if pending.isEmpty {
                guard part.count <= maximumEventBytes else { throw SSEError.eventTooLarge }
                try lend(part, isComplete: true, onEvent)
            } else {
                try lendPending(with: part, onEvent)
            }
            eventStart = end
        }
        if eventStart < chunk.count {
            try keep(UnsafeRawBufferPointer(start: base + eventStart, count: chunk.count - eventStart))
        }
    }

    package mutating func feed(_ chunk: [UInt8], _ onEvent: (SSEEvent) throws -> Void) throws {
        try chunk.withUnsafeBytes { try feed($0, onEvent) }
    }

    /// Ends the stream: lends what is still open, and says whether that was an incomplete event.
    ///
    /// Open without being incomplete is an event whose blank line ended in a CR that a LF might have followed.
    package mutating func finish(_ onEvent: (SSEEvent) throws -> Void = { _ in }) throws -> Bool {
        guard !pending.isEmpty else { return false }
        let isComplete = boundary.awaitsOptionalLineFeed
        let rest = pending
        pending = []
        try rest.withUnsafeBytes { try lend($0, isComplete: isComplete, onEvent) }
        return !isComplete
    }

    private mutating func keep(_ part: UnsafeRawBufferPointer) throws {
        guard part.count <= maximumEventBytes - pending.count else { throw SSEError.eventTooLarge }
        pending.append(contentsOf: part)
    }

    private mutating func lendPending(with part: UnsafeRawBufferPointer, _ onEvent: (SSEEvent) throws -> Void) throws {
        try keep(part)
        var whole: [UInt8] = []
        swap(&whole, &pending)
        try whole.withUnsafeBytes { try lend($0, isComplete: true, onEvent) }
        if whole.capacity <= Self.retainedBytes {
            whole.removeAll(keepingCapacity: true)
            pending = whole
        }
    }

    /// Reads the fields of one event (WHATWG HTML, 9.2.6) and lends it.
    private mutating func lend(
        _ raw: UnsafeRawBufferPointer,
        isComplete: Bool,
        _ onEvent: (SSEEvent) throws -> Void
    ) throws {
        guard let base = raw.baseAddress else { return }
        let nothing = UnsafeRawBufferPointer(start: base, count: 0)
        var name = nothing
        var data = nothing
        var id = nothing
        var dataLines = 0
        var lines = SSELineEnds(raw)
        var at = 0
        if isAtStart {
            isAtStart = false
            if raw.count >= 3, raw[0] == 0xEF, raw[1] == 0xBB, raw[2] == 0xBF { at = 3 }
        }
        while at < raw.count {
            let end = lines.next(at)
            let line = UnsafeRawBufferPointer(start: base + at, count: end - at)
            at = end + 1
            switch SSEField(line) {
            case .event(let value): name = value
            case .id(let value): id = value
            case .data(let value):
                dataLines += 1
                if dataLines == 1 {
                    data = value
                } else {
                    if dataLines == 2 {
                        joined.removeAll(keepingCapacity: true)
                        joined.append(contentsOf: data)
                    }
                    joined.append(UInt8(ascii: "\n"))
                    joined.append(contentsOf: value)
                }
            case .ignored: break
            }
        }
        if dataLines < 2 {
            try onEvent(
                SSEEvent(raw: raw, name: name, data: data, id: id, hasData: dataLines > 0, isComplete: isComplete)
            )
        } else {
            try joined.withUnsafeBytes { joined in
                try onEvent(
                    SSEEvent(raw: raw, name: name, data: joined, id: id, hasData: true, isComplete: isComplete)
                )
            }
            if joined.capacity > Self.retainedBytes { joined = [] }
        }
    }
}

/// A line of an event, without its end.
private enum SSEField {
    case event(UnsafeRawBufferPointer)
    case data(UnsafeRawBufferPointer)
    case id(UnsafeRawBufferPointer)
    /// A comment, `retry`, an unknown field, a blank line.
    case ignored

    init(_ line: UnsafeRawBufferPointer) {
        // The first byte tells the known names apart.
        switch line.first {
        case UInt8(ascii: "d"): self = Self.value(of: "data", in: line).map { .data($0) } ?? .ignored
        case UInt8(ascii: "e"): self = Self.value(of: "event", in: line).map { .event($0) } ?? .ignored
        case UInt8(ascii: "i"):
            self = Self.value(of: "id", in: line).flatMap { $0.contains(0) ? nil : .id($0) } ?? .ignored
        default: self = .ignored
        }
    }

    private static func value(of name: StaticString, in line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        let length = name.utf8CodeUnitCount
        guard line.starts(with: name) else { return nil }
        if line.count == length { return UnsafeRawBufferPointer(rebasing: line[length...]) }
        guard line[length] == UInt8(ascii: ":") else { return nil }
        let skipsSpace = line.count > length + 1 && line[length + 1] == UInt8(ascii: " ")
        return UnsafeRawBufferPointer(rebasing: line[(length + (skipsSpace ? 2 : 1))...])
    }
}
