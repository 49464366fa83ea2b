/// Follows the frames of an HTTP/2 connection's input by their headers (RFC 9113, 4.1), to know what nghttp2 does not
/// tell: whether a header block has begun and is not complete.
struct FrameTracker {
    /// Bytes of payload still to come; the client's preface counts as one.
    private var payloadLeft = 24
    private var header: UInt64 = 0
    private var headerBytes = 0
    private var isHead = false
    private var expectsContinuation = false
    /// Header blocks begun so far.
    private(set) var heads = 0

    private static let headers: UInt8 = 1
    private static let continuation: UInt8 = 9
    private static let endHeaders: UInt8 = 4

    var isInHead: Bool { expectsContinuation || (isHead && payloadLeft > 0) }

    mutating func read(_ bytes: UnsafeRawBufferPointer) {
        var index = 0
        while index < bytes.count {
            if payloadLeft > 0 {
                let step = min(payloadLeft, bytes.count - index)
                payloadLeft -= step
                index += step
                continue
            }
            // Length, type and flags are the first five of nine bytes.
            if headerBytes < 5 { header = header << 8 | UInt64(bytes[index]) }
            headerBytes += 1
            index += 1
            if headerBytes == 9 { beginFrame() }
        }
    }

    private mutating func beginFrame() {
        payloadLeft = Int(truncatingIfNeeded: header >> 16 & 0xff_ffff)
        let type = UInt8(truncatingIfNeeded: header >> 8)
        let flags = UInt8(truncatingIfNeeded: header)
        header = 0
        headerBytes = 0
        isHead = type == Self.headers || type == Self.continuation
        if type == Self.headers { heads &+= 1 }
        expectsContinuation = isHead && flags & Self.endHeaders == 0
    }
}
