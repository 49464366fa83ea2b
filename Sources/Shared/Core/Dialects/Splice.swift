package import Domain
import Formats

/// Replaces values in a JSON text and leaves every other byte as it is.
package enum Splice {
    /// `body` with the bytes in `range` replaced by `text` as a JSON string.
    package static func replacing(_ range: Range<Int>, in body: [UInt8], with text: String) -> [UInt8] {
        applying([CallSummary.Insertion(quoted(text), replacing: range)], to: body)
    }

    /// `text` as a JSON string.
    package static func quoted(_ text: String) -> [UInt8] {
        var value = JSONWriter(capacity: text.utf8.count + 2)
        value.string(text)
        return value.bytes
    }

    /// `body` with all changes made; `body` itself when they overlap or lie outside of it.
    ///
    /// There is room behind the result for a parser that reads beyond the end.
    package static func applying(_ changes: [CallSummary.Insertion], to body: [UInt8]) -> [UInt8] {
        let changes = changes.count > 1 ? changes.sorted { $0.range.lowerBound < $1.range.lowerBound } : changes
        var added = 0
        var end = 0
        for change in changes {
            guard change.range.lowerBound >= end, change.range.upperBound <= body.count else { return body }
            end = change.range.upperBound
            added += change.bytes.count
        }
        var out: [UInt8] = []
        out.reserveCapacity(body.count + added + JSONParser.padding)
        var copied = 0
        for change in changes {
            out.append(contentsOf: body[copied..<change.range.lowerBound])
            out.append(contentsOf: change.bytes)
            copied = change.range.upperBound
        }
        out.append(contentsOf: body[copied...])
        return out
    }
}
