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
    /// - Parameter keys: of at most 62 bytes.
    package func forEachMember(of keys: [StaticString], _ body: (Member) -> Void) {
        let lengths = keys.reduce(into: UInt64(0)) { $0 |= 1 << UInt64($1.utf8CodeUnitCount) }
        var place = tg_json_next_key(pointer, 0, lengths)
        while place > 0 {
            if let text = JSONSourceValue(pointer, place).text,
                let key = keys.firstIndex(where: { JSONText.inside(text, equals: $0) })
            {
                body(Member(key: key, value: JSONSourceValue(pointer, place + 2), outline: pointer, place: place))
            }
            place = tg_json_next_key(pointer, place + 1, lengths)
        }
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
