import Glibc

/// Finds where events end: after a blank line, whatever way lines end and however the bytes are cut into chunks.
///
/// A CR may end a line alone or be the first half of CRLF, and only the next byte tells. Where an event ends must not
/// depend on whether that byte is here yet. So a blank line that ends in CR waits for the next byte, and takes it if it
/// is LF; except after a line that ended in CR alone, because such a stream has no LF and its events must not wait.
internal struct SSEBoundary {
    private var isLineBlank = true
    private var isAfterCR = false
    private var isBlankLineBeforeCR = false
    private var endedPreviousLineInCR = false

    /// Whether all that was seen is a complete event, to which a LF might still belong.
    var awaitsOptionalLineFeed: Bool { isAfterCR && isBlankLineBeforeCR }

    /// Whether nothing of an event was seen, and a LF could not belong to the one before.
    var isBetweenEvents: Bool { isLineBlank && !isAfterCR && !endedPreviousLineInCR }

    /// The offset after the next event that ends in this chunk; nil when the chunk is used up.
    mutating func nextEnd(in chunk: inout SSELineEnds) -> Int? {
        while chunk.position < chunk.count {
            if isAfterCR {
                isAfterCR = false
                let isCRLF = chunk.start[chunk.position] == UInt8(ascii: "\n")
                endedPreviousLineInCR = !isCRLF
                if isCRLF { chunk.position += 1 }
                if isBlankLineBeforeCR { return chunk.position }
                continue
            }
            let end = chunk.next(chunk.position)
            if end > chunk.position { isLineBlank = false }
            guard end < chunk.count else {
                chunk.position = end
                return nil
            }
            let wasBlank = isLineBlank
            isLineBlank = true
            chunk.position = end + 1
            if chunk.start[end] == UInt8(ascii: "\n") {
                endedPreviousLineInCR = false
                if wasBlank { return chunk.position }
            } else if wasBlank && endedPreviousLineInCR {
                return chunk.position
            } else {
                isAfterCR = true
                isBlankLineBeforeCR = wasBlank
            }
        }
        return nil
    }
}

/// Finds CR and LF in a chunk, passing over each byte at most once for either.
internal struct SSELineEnds {
    let start: UnsafePointer<UInt8>
    let count: Int
    /// How far the chunk was used.
    var position = 0
    private var nextCR = -1
    private var nextLF = -1

    init(_ bytes: UnsafeRawBufferPointer) {
        // An empty buffer may have no address; nothing is read from it.
        start = (bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1).unsafelyUnwrapped).assumingMemoryBound(
            to: UInt8.self
        )
        count = bytes.count
    }

    /// Whether there is no CR in all of it.
    var hasOnlyLF: Bool { find(UInt8(ascii: "\r"), from: 0) == count }

    /// The offset of the first CR or LF at or after `offset`; `count` without one.
    mutating func next(_ offset: Int) -> Int {
        if nextCR < offset { nextCR = find(UInt8(ascii: "\r"), from: offset) }
        if nextLF < offset { nextLF = find(UInt8(ascii: "\n"), from: offset) }
        return min(nextCR, nextLF)
    }

    private func find(_ byte: UInt8, from offset: Int) -> Int {
        guard offset < count, let hit = memchr(start + offset, Int32(byte), count - offset) else { return count }
        return UnsafeRawPointer(hit) - UnsafeRawPointer(start)
    }
}
