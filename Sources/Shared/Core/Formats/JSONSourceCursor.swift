import CSimdJSON

/// Finds the source bytes of many values of one document, in about the time of one pass over it.
///
/// `JSONDocument.location(of:)` walks from the root for every question. Asked for thousands of values that would cost
/// the square of the document's length; this walks on from where the last question ended, and starts again only for a
/// value that stands further up. Like the document it must not leave the closure it was lent to.
package struct JSONSourceCursor {
    private let document: UnsafePointer<tg_json_document>
    /// A value's index on the tape, and of its first byte among the structural characters.
    private var tape = 1
    private var structural = 0

    package init(_ document: JSONDocument) { self.document = document.pointer }

    /// The bytes of a value, without the white space round it.
    package mutating func range(of value: JSONValue) -> Range<Int> {
        if value.index < tape { (tape, structural) = (1, 0) }
        advance(to: value.index)
        let start = offset(structural)
        guard value.isObject || value.isArray else { return start..<endOfScalar }
        advance(to: value.endIndex - 1)
        return start..<(offset(structural) + 1)
    }

    /// The bytes themselves, copied.
    package mutating func bytes(of value: JSONValue) -> [UInt8] {
        let range = range(of: value)
        return Array(UnsafeRawBufferPointer(start: document.pointee.source + range.lowerBound, count: range.count))
    }

    /// Every word of the tape (numbers have two) stands for one structural character, in the same order; commas and
    /// colons have no word.
    private mutating func advance(to target: Int) {
        let words = document.pointee.tape
        while tape < target {
            switch UInt8(truncatingIfNeeded: words[tape] >> 56) {
            case UInt8(ascii: "l"), UInt8(ascii: "u"), UInt8(ascii: "d"): tape += 2
            default: tape += 1
            }
            structural += 1
            while structural < document.pointee.structural_count, isSeparator(offset(structural)) { structural += 1 }
        }
    }

    private func isSeparator(_ offset: Int) -> Bool {
        let byte = document.pointee.source[offset]
        return byte == UInt8(ascii: ",") || byte == UInt8(ascii: ":")
    }

    private func offset(_ index: Int) -> Int { Int(document.pointee.structurals[index]) }

    /// The next structural character follows the scalar, after white space at most.
    private var endOfScalar: Int {
        let isLast = structural + 1 >= document.pointee.structural_count
        var end = isLast ? document.pointee.length : offset(structural + 1)
        while end > 0 {
            switch document.pointee.source[end - 1] {
            case 0x20, 0x09, 0x0A, 0x0D: end -= 1
            default: return end
            }
        }
        return end
    }
}
