/// The binary framing of AWS' streamed answers, `application/vnd.amazon.eventstream` (Smithy, "Amazon Event Stream
/// Specification").
///
/// A message is a prelude (its length and that of its headers, four bytes each, big-endian), the prelude's CRC-32, the
/// headers, the payload, and the CRC-32 of everything before.
package enum AWSEventStream {
    /// Prelude and both checksums.
    package static let overhead = 16
    package static let maximumHeaderBytes = 128 << 10
    /// Real messages have three.
    package static let maximumHeaders = 64

    /// A header's value.
    package enum Value: Hashable, Sendable {
        case bool(Bool)
        case byte(Int8)
        case int16(Int16)
        case int32(Int32)
        case int64(Int64)
        case bytes([UInt8])
        case string(String)
        /// Milliseconds since 1970.
        case timestamp(Int64)
        /// 16 bytes.
        case uuid([UInt8])
    }
}

package enum AWSEventStreamError: Error, Equatable {
    case preludeChecksumMismatch
    case messageChecksumMismatch
    /// Longer than `maximumMessageBytes`, or its headers than `AWSEventStream.maximumHeaderBytes`.
    case messageTooLarge
    /// The lengths in the prelude contradict each other.
    case invalidLength
    /// Headers that do not fill their block, have an unknown type or an empty name, or are too many.
    case invalidHeaders
}

/// One message while it is being looked at: the bytes are valid during the callback only.
package struct AWSEventStreamMessage {
    /// The whole message.
    package let raw: UnsafeRawBufferPointer
    package let payload: UnsafeRawBufferPointer
    private let headerBlock: UnsafeRawBufferPointer

    /// - Parameter raw: a message whose lengths and checksums hold.
    fileprivate init(_ raw: UnsafeRawBufferPointer, headerBytes: Int) throws(AWSEventStreamError) {
        self.raw = raw
        headerBlock = UnsafeRawBufferPointer(rebasing: raw[12..<(12 + headerBytes)])
        payload = UnsafeRawBufferPointer(rebasing: raw[(12 + headerBytes)..<(raw.count - 4)])
        var reader = HeaderReader(block: headerBlock)
        var count = 0
        while try reader.next() != nil {
            count += 1
            guard count <= AWSEventStream.maximumHeaders else { throw .invalidHeaders }
        }
    }

    /// Whether the header with this name is this text.
    package func header(_ name: StaticString, is text: StaticString) -> Bool {
        guard let header = find(name), header.type == 7 else { return false }
        return header.value.equals(text)
    }

    /// The text of the first header with this name; nil without one or when it is no text.
    package func string(_ name: StaticString) -> String? {
        guard let header = find(name), header.type == 7 else { return nil }
        return String(decoding: header.value, as: UTF8.self)
    }

    /// All headers in their order.
    package var headers: [(name: String, value: AWSEventStream.Value)] {
        var found: [(name: String, value: AWSEventStream.Value)] = []
        var reader = HeaderReader(block: headerBlock)
        while let header = try? reader.next() {
            found.append((String(decoding: header.name, as: UTF8.self), header.decoded))
        }
        return found
    }

    private func find(_ name: StaticString) -> Header? {
        var reader = HeaderReader(block: headerBlock)
        while let header = try? reader.next() {
            if header.name.equals(name) { return header }
        }
        return nil
    }
}

private struct Header {
    var name: UnsafeRawBufferPointer
    var type: UInt8
    var value: UnsafeRawBufferPointer

    var decoded: AWSEventStream.Value {
        switch type {
        case 0: .bool(true)
        case 1: .bool(false)
        case 2: .byte(Int8(truncatingIfNeeded: number))
        case 3: .int16(Int16(truncatingIfNeeded: number))
        case 4: .int32(Int32(truncatingIfNeeded: number))
        case 5: .int64(Int64(bitPattern: number))
        case 6: .bytes(Array(value))
        case 7: .string(String(decoding: value, as: UTF8.self))
        case 8: .timestamp(Int64(bitPattern: number))
        default: .uuid(Array(value))
        }
    }

    private var number: UInt64 { value.reduce(0) { $0 << 8 | UInt64($1) } }
}

private struct HeaderReader {
    let block: UnsafeRawBufferPointer
    var at = 0

    init(block: UnsafeRawBufferPointer) { self.block = block }

    /// The next header; nil at the end of the block.
    mutating func next() throws(AWSEventStreamError) -> Header? {
        guard at < block.count else { return nil }
        let name = try take(Int(try take(1)[0]))
        guard !name.isEmpty else { throw .invalidHeaders }
        let type = try take(1)[0]
        let count =
            switch type {
            case 0, 1: 0
            case 2: 1
            case 3: 2
            case 4: 4
            case 5, 8: 8
            case 6, 7: Int(try take(2).bigEndian(at: 0, UInt16.self))
            case 9: 16
            default: throw AWSEventStreamError.invalidHeaders
            }
        return Header(name: name, type: type, value: try take(count))
    }

    private mutating func take(_ count: Int) throws(AWSEventStreamError) -> UnsafeRawBufferPointer {
        guard count <= block.count - at else { throw .invalidHeaders }
        defer { at += count }
        return UnsafeRawBufferPointer(rebasing: block[at..<(at + count)])
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func bigEndian<Number: FixedWidthInteger>(at offset: Int, _: Number.Type) -> Number {
        Number(bigEndian: loadUnaligned(fromByteOffset: offset, as: Number.self))
    }
}

/// Splits an event stream into messages, wherever the stream is cut into chunks, and checks them.
///
/// A message that lies within one chunk is lent where it stands. After a throw the parser must not be fed again: without
/// its lengths a stream has no next message.
package struct AWSEventStreamParser {
    /// A buffer larger than this is given back after the message it was needed for.
    private static let retainedBytes = 8192

    private let maximumMessageBytes: Int
    /// The message that earlier chunks left open.
    private var pending: [UInt8] = []
    /// Its length, once its prelude is there.
    private var expected: Prelude?

    package init(maximumMessageBytes: Int = 16 << 20) { self.maximumMessageBytes = maximumMessageBytes }

    /// Whether the stream broke off within a message.
    package var isWithinMessage: Bool { !pending.isEmpty }

    /// Takes a chunk and lends every message that it completes.
    /// - Throws: `AWSEventStreamError`, or what `onMessage` throws.
    package mutating func feed(
        _ chunk: UnsafeRawBufferPointer,
        _ onMessage: (AWSEventStreamMessage) throws -> Void
    ) throws {
        var rest = chunk
        while !rest.isEmpty {
            if pending.isEmpty {
                guard rest.count >= Prelude.byteCount else { return pending.append(contentsOf: rest) }
                let prelude = try Prelude(rest, maximumMessageBytes)
                guard rest.count >= prelude.total else {
                    expected = prelude
                    return pending.append(contentsOf: rest)
                }
                try lend(UnsafeRawBufferPointer(rebasing: rest[..<prelude.total]), prelude, onMessage)
                rest = UnsafeRawBufferPointer(rebasing: rest[prelude.total...])
            } else if let prelude = expected {
                take(prelude.total - pending.count, from: &rest)
                guard pending.count == prelude.total else { return }
                try lendPending(prelude, onMessage)
            } else {
                take(Prelude.byteCount - pending.count, from: &rest)
                guard pending.count == Prelude.byteCount else { return }
                expected = try pending.withUnsafeBytes { try Prelude($0, maximumMessageBytes) }
            }
        }
    }

    package mutating func feed(_ chunk: [UInt8], _ onMessage: (AWSEventStreamMessage) throws -> Void) throws {
        try chunk.withUnsafeBytes { try feed($0, onMessage) }
    }

    private mutating func take(_ count: Int, from rest: inout UnsafeRawBufferPointer) {
        let count = min(count, rest.count)
        pending.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[..<count]))
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }

    private mutating func lendPending(
        _ prelude: Prelude,
        _ onMessage: (AWSEventStreamMessage) throws -> Void
    ) throws {
        var whole: [UInt8] = []
        swap(&whole, &pending)
        expected = nil
        try whole.withUnsafeBytes { try lend($0, prelude, onMessage) }
        if whole.capacity <= Self.retainedBytes {
            whole.removeAll(keepingCapacity: true)
            pending = whole
        }
    }

    private func lend(
        _ raw: UnsafeRawBufferPointer,
        _ prelude: Prelude,
        _ onMessage: (AWSEventStreamMessage) throws -> Void
    ) throws {
        let end = raw.count - 4
        let checksum = CRC32.checksum(UnsafeRawBufferPointer(rebasing: raw[..<end]))
        guard raw.bigEndian(at: end, UInt32.self) == checksum else {
            throw AWSEventStreamError.messageChecksumMismatch
        }
        try onMessage(try AWSEventStreamMessage(raw, headerBytes: prelude.headers))
    }
}

/// The lengths at a message's head.
private struct Prelude {
    static let byteCount = 12

    let total: Int
    let headers: Int

    /// - Parameter bytes: at least `byteCount`.
    init(_ bytes: UnsafeRawBufferPointer, _ maximumMessageBytes: Int) throws(AWSEventStreamError) {
        // First, so that wrong lengths are never believed.
        guard bytes.bigEndian(at: 8, UInt32.self) == CRC32.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<8]))
        else { throw .preludeChecksumMismatch }
        total = Int(bytes.bigEndian(at: 0, UInt32.self))
        headers = Int(bytes.bigEndian(at: 4, UInt32.self))
        guard total >= AWSEventStream.overhead, headers <= total - AWSEventStream.overhead else {
            throw .invalidLength
        }
        guard total <= maximumMessageBytes, headers <= AWSEventStream.maximumHeaderBytes else {
            throw .messageTooLarge
        }
    }
}
