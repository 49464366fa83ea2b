import Glibc
package import HTTPMessages

package enum HTTP1Error: Error, Equatable {
    /// The peer broke RFC 9112, or was ambiguous: answer 400 and close.
    case malformed(String)
    case headTooLarge
    case unsupportedVersion
}

package protocol HTTP1ParserDelegate: AnyObject {
    /// `expectsContinue` only on requests. The head's fields are complete; `keepsAlive` says whether another message
    /// may follow on the connection.
    func parserDidReadRequestHead(_ head: HTTPRequestHead, keepsAlive: Bool, expectsContinue: Bool)
    func parserDidReadResponseHead(_ head: HTTPResponseHead, keepsAlive: Bool)
    func parserDidReadBody(_ bytes: UnsafeRawBufferPointer)
    func parserDidEndMessage()
}

/// An incremental HTTP/1.1 parser for one direction of a connection (RFC 9112): http-parser behind a strict scan of
/// heads and chunk lines, because on its own it accepts what request smuggling is made of.
///
/// Upgrades are ignored: the message is read as if the field were not there. Trailers are read and dropped. After a
/// message that does not keep the connection alive, further bytes are swallowed. After an error, every call throws it
/// again.
package final class HTTP1Parser {
    package enum Kind: Sendable { case requests, responses }

    private enum Phase {
        /// In a head, or before one.
        case head
        case fixedBody(left: Int)
        case chunkSize(ChunkSize)
        case chunkBody(left: Int)
        /// The CRLF after a chunk, of which `read` bytes have been seen.
        case chunkEnd(read: Int)
        case trailers
        /// A response that ends with the connection.
        case endlessBody
        case closed
        case failed(HTTP1Error)
    }

    /// Owns the parser, as a rule, and must outlive its last use. Not weak: an object with weak references pays for them
    /// whenever it is retained.
    package unowned var delegate: (any HTTP1ParserDelegate)?

    private let kind: Kind
    private let maximumHeadBytes: Int
    private let check: FramingCheck
    private var phase = Phase.head
    private var lines: HeadLines
    /// The beginning of a line whose end has not arrived.
    private var partialLine: [UInt8] = []
    /// Bytes of the head, or of the trailers, so far.
    private var headBytes = 0
    private var extensionBytes = 0
    private var keepsAlive = true
    private var hasSkippedEmptyLine = false
    private var messagesEnded: UInt32 = 0

    package init(_ kind: Kind, maximumHeadBytes: Int) {
        self.kind = kind
        self.maximumHeadBytes = maximumHeadBytes
        check = FramingCheck(kind)
        lines = HeadLines(kind)
    }

    /// Responses: the next message answers a HEAD request and has no body. Falls back to false after that message;
    /// interim (1xx) responses before it do not count.
    package var answersHead = false
    /// Whether the last head said HTTP/1.0.
    package private(set) var isVersion10 = false
    /// Stops at the end of each message, so that pipelined requests wait for their turn.
    package var pauseAfterMessage = false
    /// Whether part of a message has been read.
    package var isInMessage: Bool {
        switch phase {
        case .head: lines.hasStartLine || !partialLine.isEmpty
        case .fixedBody, .chunkSize, .chunkBody, .chunkEnd, .trailers, .endlessBody: true
        case .closed, .failed: false
        }
    }

    /// The request whose head is being read, or was refused, as far as it is known; nil while its first line is not.
    package var unfinishedRequest: HTTPRequestHead? {
        guard lines.hasStartLine else { return nil }
        return HTTPRequestHead(method: lines.method, target: lines.target, headers: lines.headers)
    }

    /// Parses the next bytes, in pieces of any size; the delegate is called meanwhile. Returns the number of bytes
    /// taken: fewer than given only when `pauseAfterMessage` stopped it at the end of a message.
    package func feed(_ bytes: UnsafeRawBufferPointer) throws(HTTP1Error) -> Int {
        do throws(HTTP1Error) {
            var taken = 0
            while taken < bytes.count {
                let endedBefore = messagesEnded
                taken += try advance(UnsafeRawBufferPointer(rebasing: bytes[taken...]))
                if pauseAfterMessage, messagesEnded != endedBefore { break }
            }
            return taken
        } catch {
            phase = .failed(error)
            partialLine = []
            throw error
        }
    }

    /// Bytes of a body of known length that have not arrived; 0 anywhere but in one.
    package var bodyBytesLeft: Int {
        if case .fixedBody(let left) = phase { left } else { 0 }
    }

    /// Takes the last bytes of what there is of a body of known length, at most `bodyBytesLeft`. They stand where they
    /// belong: nobody is told of them, only of the end of the message.
    package func take(bodyInPlace body: [UInt8], last count: Int) throws(HTTP1Error) {
        do throws(HTTP1Error) {
            guard case .fixedBody(let left) = phase, count <= left else { throw .malformed("body out of place") }
            phase = .fixedBody(left: left - count)
            try Self.withBytes(of: body) { body throws(HTTP1Error) in
                try check.read(UnsafeRawBufferPointer(rebasing: body.suffix(count)))
            }
            if count == left { try endMessage() }
        } catch {
            phase = .failed(error)
            throw error
        }
    }

    /// The peer has closed its side. A response body without a length ends here; a message cut short throws.
    package func finish() throws(HTTP1Error) {
        switch phase {
        case .head where !isInMessage, .closed:
            phase = .closed
        case .endlessBody:
            try check.finish()
            try endMessage()
        case .failed(let error):
            throw error
        case .head, .fixedBody, .chunkSize, .chunkBody, .chunkEnd, .trailers:
            let error = HTTP1Error.malformed("cut short")
            phase = .failed(error)
            throw error
        }
    }

    /// Takes at least one byte of a non-empty piece, at most to the end of the message.
    private func advance(_ bytes: UnsafeRawBufferPointer) throws(HTTP1Error) -> Int {
        switch phase {
        case .head:
            return try readHead(bytes)
        case .fixedBody(let left):
            let piece = UnsafeRawBufferPointer(rebasing: bytes.prefix(left))
            phase = .fixedBody(left: left - piece.count)
            try check.read(piece)
            delegate?.parserDidReadBody(piece)
            if piece.count == left { try endMessage() }
            return piece.count
        case .chunkSize(var size):
            let taken = try size.read(bytes, extensionBytes: &extensionBytes)
            try check.read(UnsafeRawBufferPointer(rebasing: bytes[..<taken]))
            if !size.isComplete {
                phase = .chunkSize(size)
            } else if size.value > 0 {
                phase = .chunkBody(left: size.value)
            } else {
                headBytes = 0
                phase = .trailers
            }
            return taken
        case .chunkBody(let left):
            let piece = UnsafeRawBufferPointer(rebasing: bytes.prefix(left))
            phase = piece.count < left ? .chunkBody(left: left - piece.count) : .chunkEnd(read: 0)
            try check.read(piece)
            delegate?.parserDidReadBody(piece)
            return piece.count
        case .chunkEnd(let read):
            let expected = read == 0 ? ByteClass.carriageReturn : ByteClass.lineFeed
            guard bytes[0] == expected else { throw .malformed("chunk end") }
            try check.read(UnsafeRawBufferPointer(rebasing: bytes[..<1]))
            phase = read == 0 ? .chunkEnd(read: 1) : .chunkSize(ChunkSize())
            return 1
        case .trailers:
            return try readTrailers(bytes)
        case .endlessBody:
            try check.read(bytes)
            delegate?.parserDidReadBody(bytes)
            return bytes.count
        case .closed:
            return bytes.count
        case .failed(let error):
            throw error
        }
    }

    // MARK: Heads

    private func readHead(_ bytes: UnsafeRawBufferPointer) throws(HTTP1Error) -> Int {
        var lineStart = 0
        while let end = Self.lineEnd(bytes, from: lineStart) {
            try countHeadBytes(end - lineStart)
            let isEmpty: Bool
            if partialLine.isEmpty {
                isEmpty = try readHeadLine(UnsafeRawBufferPointer(rebasing: bytes[lineStart..<end]))
            } else {
                partialLine.append(contentsOf: bytes[lineStart..<end])
                let line = partialLine
                partialLine = []
                isEmpty = try Self.withBytes(of: line) { line throws(HTTP1Error) in try readHeadLine(line) }
            }
            lineStart = end
            if isEmpty {
                try endHead()
                return end
            }
        }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[lineStart...])
        try countHeadBytes(rest.count)
        // Neither text nor a blank line before it: not HTTP at all, so there is no point in waiting for a line's end.
        if !lines.hasStartLine, partialLine.isEmpty, let first = rest.first,
            !ByteClass.isToken(first), first != ByteClass.carriageReturn
        {
            throw .malformed("start line")
        }
        partialLine.append(contentsOf: rest)
        return bytes.count
    }

    /// Reads a line with its CRLF; true for the empty line that ends the head.
    ///
    /// http-parser is shown the lines that can make a difference to it: that each of the others is one field was seen.
    private func readHeadLine(_ line: UnsafeRawBufferPointer) throws(HTTP1Error) -> Bool {
        let content = try Self.contentOfLine(line)
        if !content.isEmpty {
            if try lines.read(content) { try check.read(line) }
            return false
        }
        if lines.hasStartLine {
            try lines.validate()
            check.skipsBody = lines.hasNoBody(answersHead: answersHead)
            try check.read(line)
            return true
        }
        // One empty line before a request is let pass (RFC 9112, 2.2).
        guard kind == .requests, !hasSkippedEmptyLine else { throw .malformed("start line") }
        hasSkippedEmptyLine = true
        headBytes = 0
        return false
    }

    @inline(__always)
    private func countHeadBytes(_ count: Int) throws(HTTP1Error) {
        headBytes += count
        guard headBytes <= maximumHeadBytes else { throw .headTooLarge }
    }

    private func endHead() throws(HTTP1Error) {
        guard check.headsRead == messagesEnded &+ 1 else { throw .malformed("framing of the head") }
        var ended = HeadLines(kind)
        swap(&ended, &lines)
        headBytes = 0
        extensionBytes = 0
        hasSkippedEmptyLine = false
        keepsAlive = check.keepsAlive
        isVersion10 = ended.isVersion10
        var isEmpty = false
        if ended.hasNoBody(answersHead: answersHead) {
            isEmpty = true
        } else if ended.isChunked {
            phase = .chunkSize(ChunkSize())
        } else if let length = ended.contentLength, length > 0 {
            phase = .fixedBody(left: length)
        } else if ended.contentLength == nil, kind == .responses {
            phase = .endlessBody
        } else {
            isEmpty = true
        }
        guard isEmpty == (check.messagesRead == check.headsRead) else { throw .malformed("framing of the body") }
        if kind == .responses, ended.status >= 200 { answersHead = false }
        switch kind {
        case .requests:
            delegate?.parserDidReadRequestHead(
                HTTPRequestHead(method: ended.method, target: ended.target, headers: ended.headers),
                keepsAlive: keepsAlive,
                expectsContinue: ended.expectsContinue && !isEmpty
            )
        case .responses:
            // An interim answer says nothing about the connection: the final one follows on it.
            if ended.status < 200 { keepsAlive = true }
            delegate?.parserDidReadResponseHead(
                HTTPResponseHead(status: ended.status, headers: ended.headers),
                keepsAlive: keepsAlive
            )
        }
        if isEmpty { try endMessage() }
    }

    private func endMessage() throws(HTTP1Error) {
        messagesEnded &+= 1
        guard check.messagesRead == messagesEnded, check.headsRead == messagesEnded else {
            throw .malformed("framing of the body")
        }
        phase = keepsAlive ? .head : .closed
        delegate?.parserDidEndMessage()
    }

    // MARK: Trailers

    private func readTrailers(_ bytes: UnsafeRawBufferPointer) throws(HTTP1Error) -> Int {
        guard let end = Self.lineEnd(bytes, from: 0) else {
            try countHeadBytes(bytes.count)
            partialLine.append(contentsOf: bytes)
            return bytes.count
        }
        try countHeadBytes(end)
        partialLine.append(contentsOf: bytes[..<end])
        let line = partialLine
        partialLine = []
        let isEmpty = try Self.withBytes(of: line) { line throws(HTTP1Error) in
            let content = try Self.contentOfLine(line)
            if !content.isEmpty { _ = try HeadLines.split(content) }
            return content.isEmpty
        }
        if isEmpty {
            headBytes = 0
            // http-parser never sees the trailers, only that they have ended.
            let empty: StaticString = "\r\n"
            try check.read(UnsafeRawBufferPointer(start: empty.utf8Start, count: empty.utf8CodeUnitCount))
            try endMessage()
        }
        return end
    }

    // MARK: Lines

    private static func withBytes<Value>(
        of line: [UInt8],
        _ body: (UnsafeRawBufferPointer) throws(HTTP1Error) -> Value
    ) throws(HTTP1Error) -> Value {
        try line.withUnsafeBytes { bytes in
            Result { () throws(HTTP1Error) in try body(bytes) }
        }.get()
    }

    /// The index behind the next LF.
    @inline(__always)
    private static func lineEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard start < bytes.count, let base = bytes.baseAddress,
            let found = memchr(base + start, Int32(ByteClass.lineFeed), bytes.count - start)
        else { return nil }
        return UnsafeRawPointer(found) - base + 1
    }

    /// The line without its CRLF. A CR elsewhere in it is refused as the control character it is.
    @inline(__always)
    private static func contentOfLine(_ line: UnsafeRawBufferPointer) throws(HTTP1Error) -> UnsafeRawBufferPointer {
        guard line.count >= 2, line[line.count - 2] == ByteClass.carriageReturn else { throw .malformed("bare LF") }
        return UnsafeRawBufferPointer(rebasing: line[..<(line.count - 2)])
    }
}
