/// What a request amounts to where no upstream counts it: a token for every four bytes of it, media left out.
package enum TokenEstimate {
    private static let bytesPerToken = 4
    /// Longer runs of base64 characters are media, not words.
    private static let longestWord = 512

    /// - Parameter body: a request in any dialect.
    package static func count(ofRequest body: [UInt8]) -> Int64 {
        var counted = 0
        var run = 0
        for byte in body {
            if isBase64(byte) {
                run += 1
            } else {
                counted += (run > longestWord ? 0 : run) + 1
                run = 0
            }
        }
        return Int64(counted / bytesPerToken + 1)
    }

    private static func isBase64(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2b, 0x2d, 0x2f, 0x3d, 0x5f: true
        default: false
        }
    }

    /// Whether one of eight bytes is a space (Hacker's Delight, 6-1: a zero byte in a word).
    private static func hasSpace(_ word: UInt64) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let marked = word ^ (ones &* 0x20)
        return (marked &- ones) & ~marked & (ones &* 0x80) != 0
    }

    /// Bytes that are surely media: the rest of a JSON string from where a long run of base64 begins.
    ///
    /// Looks at one byte in 512 and at what stands around it, so that a body without media costs next to nothing.
    package static func mediaBytes(in body: [UInt8]) -> Int {
        guard body.count > 2 * longestWord else { return 0 }
        return body.withUnsafeBufferPointer { body in
            var media = 0
            var place = longestWord
            while place < body.count {
                // Nearly everywhere there is a space not far away.
                let bytes = UnsafeRawBufferPointer(body)
                if hasSpace(bytes.loadUnaligned(fromByteOffset: place - 8, as: UInt64.self))
                    || hasSpace(bytes.loadUnaligned(fromByteOffset: place - 16, as: UInt64.self))
                {
                    place += longestWord
                    continue
                }
                var start = place
                while start > place - longestWord, isBase64(body[start - 1]) { start -= 1 }
                let isRun =
                    isBase64(body[place]) && place - start >= longestWord / 2
                    && body[place..<min(place + longestWord, body.count)].allSatisfy { isBase64($0) }
                guard isRun else {
                    place += longestWord
                    continue
                }
                let end = body[place...].firstIndex(of: UInt8(ascii: "\"")) ?? body.count
                media += end - start
                place = max(end, place) + longestWord
            }
            return media
        }
    }
}
