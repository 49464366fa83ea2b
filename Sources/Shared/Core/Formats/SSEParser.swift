import Glibc

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
        let hasOnlyLF = lines.hasOnlyLF
        while lines.position < chunk.count {
            if hasOnlyLF, !isAtStart, pending.isEmpty, boundary.isBetweenEvents {
                lines.position = try lendWhole(chunk, from: lines.position, onEvent)
            }
            let start = lines.position
            let end = boundary.nextEnd(in: &lines)
            let part = UnsafeRawBufferPointer(start: base + start, count: (end ?? chunk.count) - start)
            if end == nil {
                if !part.isEmpty { try keep(part) }
            } else if pending.isEmpty {
                guard part.count <= maximumEventBytes else { throw SSEError.eventTooLarge }
                try lend(part, isComplete: true, onEvent)
            } else {
                try lendPending(with: part, onEvent)
            }
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

    /// Lends the events that lie in the chunk as a whole, where no line ends in CR: each byte is looked at once.
    /// - Returns: where the first event begins that the chunk does not complete.
    private mutating func lendWhole(
        _ chunk: UnsafeRawBufferPointer,
        from offset: Int,
        _ onEvent: (SSEEvent) throws -> Void
    ) throws -> Int {
        guard let base = chunk.baseAddress else { return offset }
        var start = offset
        var at = offset
        var fields = Fields(at: base)
        while at < chunk.count {
            if chunk[at] == UInt8(ascii: "\n") {
                at += 1
                guard at - start <= maximumEventBytes else { throw SSEError.eventTooLarge }
                let raw = UnsafeRawBufferPointer(start: base + start, count: at - start)
                try lend(fields, of: raw, isComplete: true, onEvent)
                start = at
                fields = Fields(at: base)
                continue
            }
            guard let hit = memchr(base + at, Int32(UInt8(ascii: "\n")), chunk.count - at) else { return start }
            let end = UnsafeRawPointer(hit) - base
            add(UnsafeRawBufferPointer(start: base + at, count: end - at), to: &fields)
            at = end + 1
        }
        return start
    }

    /// Reads the fields of one event and lends it.
    private mutating func lend(
        _ raw: UnsafeRawBufferPointer,
        isComplete: Bool,
        _ onEvent: (SSEEvent) throws -> Void
    ) throws {
        guard let base = raw.baseAddress else { return }
        var fields = Fields(at: base)
        var lines = SSELineEnds(raw)
        var at = 0
        if isAtStart {
            isAtStart = false
            if raw.count >= 3, raw[0] == 0xEF, raw[1] == 0xBB, raw[2] == 0xBF { at = 3 }
        }
        while at < raw.count {
            let end = lines.next(at)
            add(UnsafeRawBufferPointer(start: base + at, count: end - at), to: &fields)
            at = end + 1
        }
        try lend(fields, of: raw, isComplete: isComplete, onEvent)
    }

    /// What the lines of an event have said (WHATWG HTML, 9.2.6).
    private struct Fields {
        var name: UnsafeRawBufferPointer
        /// The first `data:` field; further ones are in `joined`.
        var data: UnsafeRawBufferPointer
        var id: UnsafeRawBufferPointer
        var dataLines = 0

        init(at base: UnsafeRawPointer) {
            name = UnsafeRawBufferPointer(start: base, count: 0)
            data = name
            id = name
        }
    }

    private mutating func add(_ line: UnsafeRawBufferPointer, to fields: inout Fields) {
        switch SSEField(line) {
        case .event(let value): fields.name = value
        case .id(let value): fields.id = value
        case .data(let value):
            fields.dataLines += 1
            if fields.dataLines == 1 {
                fields.data = value
            } else {
                if fields.dataLines == 2 {
                    joined.removeAll(keepingCapacity: true)
                    joined.append(contentsOf: fields.data)
                }
                joined.append(UInt8(ascii: "\n"))
                joined.append(contentsOf: value)
            }
        case .ignored: break
        }
    }

    private mutating func lend(
        _ fields: Fields,
        of raw: UnsafeRawBufferPointer,
        isComplete: Bool,
        _ onEvent: (SSEEvent) throws -> Void
    ) throws {
        let hasData = fields.dataLines > 0
        func event(_ data: UnsafeRawBufferPointer) -> SSEEvent {
            SSEEvent(raw: raw, name: fields.name, data: data, id: fields.id, hasData: hasData, isComplete: isComplete)
        }
        guard fields.dataLines > 1 else { return try onEvent(event(fields.data)) }
        try joined.withUnsafeBytes { try onEvent(event($0)) }
        if joined.capacity > Self.retainedBytes { joined = [] }
    }
}

/// A line of an event, without its end.
private enum SSEField {
    case event(UnsafeRawBufferPointer)
    case data(UnsafeRawBufferPointer)
    case id(UnsafeRawBufferPointer)
    /// A comment, `retry`, an unknown field, a blank line.
    case ignored

    /// `data` and `even`, as a little-endian machine loads them.
    private static var data: UInt32 { 0x6174_6164 }
    private static var event: UInt32 { 0x6E65_7665 }

    @inline(__always)
    init(_ line: UnsafeRawBufferPointer) {
        self = .ignored
        guard line.count >= 4 else {
            if line.starts(with: "id"), let value = Self.value(in: line, after: 2), !value.contains(0) {
                self = .id(value)
            }
            return
        }
        let start = UInt32(littleEndian: line.loadUnaligned(as: UInt32.self))
        if start == Self.data {
            if let value = Self.value(in: line, after: 4) { self = .data(value) }
        } else if start == Self.event {
            if line.count > 4, line[4] == UInt8(ascii: "t"), let value = Self.value(in: line, after: 5) {
                self = .event(value)
            }
        } else if line.starts(with: "id"), let value = Self.value(in: line, after: 2), !value.contains(0) {
            self = .id(value)
        }
    }

    /// What follows a name of so many bytes and its colon; nil where the name is a longer one.
    @inline(__always)
    private static func value(in line: UnsafeRawBufferPointer, after length: Int) -> UnsafeRawBufferPointer? {
        if line.count == length { return UnsafeRawBufferPointer(rebasing: line[length...]) }
        guard line[length] == UInt8(ascii: ":") else { return nil }
        let skipsSpace = line.count > length + 1 && line[length + 1] == UInt8(ascii: " ")
        return UnsafeRawBufferPointer(rebasing: line[(length + (skipsSpace ? 2 : 1))...])
    }
}
