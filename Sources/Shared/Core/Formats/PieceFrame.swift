package import Bytes

/// What stands round each piece of a stream's text: pieces are short and many, and written in one go.
package struct PieceFrame: ~Copyable {
    private let head: OwnedBytes
    private let tail: OwnedBytes

    package init(_ head: [UInt8] = [], _ tail: [UInt8] = []) {
        self.head = OwnedBytes(head)
        self.tail = OwnedBytes(tail)
    }

    /// Appends the head, the text as the inside of a JSON string, the tail and the end.
    ///
    /// - Parameters:
    ///   - utf8: valid UTF-8, as `JSONValue.stringBytes` gives it.
    ///   - more: how many bytes `end` writes at most.
    package borrowing func append(
        _ utf8: UnsafeRawBufferPointer,
        to out: inout [UInt8],
        atMost more: Int = 0,
        end: (inout ByteCursor) -> Void = { _ in }
    ) {
        // Six times the bytes are asked for. Of a long text that would be much more than it takes.
        guard utf8.count <= 1024 else {
            head.withBytes { out.append(contentsOf: $0) }
            JSONText.appendInside(utf8, to: &out)
            tail.withBytes { out.append(contentsOf: $0) }
            return out.append(atMost: more, end)
        }
        out.append(atMost: head.count + 6 * utf8.count + tail.count + more) { text in
            head.withBytes { text.write($0) }
            text.write(escaping: utf8)
            tail.withBytes { text.write($0) }
            end(&text)
        }
    }
}
