import Formats

/// Replaces one value in a JSON text and leaves every other byte as it is.
package enum Splice {
    /// `body` with the bytes in `range` replaced by `text` as a JSON string.
    package static func replacing(_ range: Range<Int>, in body: [UInt8], with text: String) -> [UInt8] {
        guard range.lowerBound >= 0, range.upperBound <= body.count else { return body }
        var value = JSONWriter(capacity: text.utf8.count + 2)
        value.string(text)
        var out: [UInt8] = []
        out.reserveCapacity(body.count - range.count + value.bytes.count)
        out.append(contentsOf: body[..<range.lowerBound])
        out.append(contentsOf: value.bytes)
        out.append(contentsOf: body[range.upperBound...])
        return out
    }
}
