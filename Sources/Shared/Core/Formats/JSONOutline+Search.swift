import CSimdJSON

extension JSONOutline {
    /// A member of any object in the document.
    package struct Member {
        /// Which of the keys asked for it has.
        package let key: Int
        package let value: JSONSourceValue
        fileprivate let outline: UnsafePointer<tg_json_outline>
        /// The number of the structural that its key is.
        fileprivate let place: Int

        /// The object that it is a member of; nil where that begins more than `steps` values and signs before.
        package func object(within steps: Int = 64) -> JSONSourceValue? {
            let outline = outline.pointee
            for candidate in stride(from: place - 1, through: max(0, place - steps), by: -1) {
                let first = outline.source[Int(outline.structurals[candidate])]
                guard first == UInt8(ascii: "{") || first == UInt8(ascii: "[") else { continue }
                if outline.closings[candidate] > place { return JSONSourceValue(self.outline, candidate) }
            }
            return nil
        }
    }

    /// Finds the members, however deep, that have one of these keys, decoded: one look at each sign between the values and
    /// at the length of each key, and none at the texts.
    ///
    /// - Parameter keys: of at most 16 bytes.
    package func forEachMember(of keys: [StaticString], _ body: (Member) -> Void) {
        let outline = pointer.pointee
        let (source, structurals) = (UnsafeRawPointer(outline.source), outline.structurals)
        let lengths = keys.reduce(into: UInt64(0)) { $0 |= 1 << UInt64($1.utf8CodeUnitCount) }
        guard outline.structural_count > 3 else { return }
        for colon in 2..<outline.structural_count {
            let end = Int(structurals[colon])
            guard outline.source[end] == UInt8(ascii: ":") else { continue }
            let start = Int(structurals[colon - 1]) + 1
            // Up to the colon; white space before it or an escape make more of it.
            let length = end - start - 1
            guard
                (length < 64 && lengths >> UInt64(length) & 1 != 0) || outline.source[end - 1] != UInt8(ascii: "\"")
                    || Self.mayBeEscaped(source + start, length)
            else { continue }
            guard let text = JSONSourceValue(pointer, colon - 1).text,
                let key = keys.firstIndex(where: { JSONText.inside(text, equals: $0) })
            else { continue }
            body(
                Member(key: key, value: JSONSourceValue(pointer, colon + 1), outline: pointer, place: colon - 1)
            )
        }
    }

    /// Whether one of the first 16 bytes of a key is a backslash: an escape takes six of them to stand for a letter.
    private static func mayBeEscaped(_ key: UnsafeRawPointer, _ length: Int) -> Bool {
        guard length >= 7 else { return false }
        let last = min(length, 15) - 7
        return hasBackslash(key.loadUnaligned(as: UInt64.self))
            || hasBackslash((key + last).loadUnaligned(as: UInt64.self))
    }

    /// Whether one of eight bytes is one (Hacker's Delight, 6-1: a zero byte in a word).
    private static func hasBackslash(_ word: UInt64) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let marked = word ^ (ones &* 0x5c)
        return (marked &- ones) & ~marked & (ones &* 0x80) != 0
    }
}

extension JSONSourceValue {
    /// Whether it is an array's, not a member's or the document itself.
    package var isElement: Bool {
        guard place > 0 else { return false }
        let outline = outline.pointee
        return outline.source[Int(outline.structurals[place - 1])] != UInt8(ascii: ":")
    }
}
