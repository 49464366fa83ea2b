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
package final class HTTP1Parser {
    package enum Kind: Sendable { case requests, responses }

    package weak var delegate: (any HTTP1ParserDelegate)?

    package init(_ kind: Kind, maximumHeadBytes: Int) { fatalError("unimplemented") }

    /// Parses the next bytes, in pieces of any size; the delegate is called meanwhile. Returns the number of bytes
    /// taken: fewer than given only when `pauseAfterMessage` stopped it at the end of a message.
    package func feed(_ bytes: UnsafeRawBufferPointer) throws(HTTP1Error) -> Int { fatalError("unimplemented") }

    /// The peer has closed its side. A response body without a length ends here; a message cut short throws.
    package func finish() throws(HTTP1Error) { fatalError("unimplemented") }

    /// Responses: the next message answers a HEAD request and has no body.
    package var answersHead = false
    /// Stops at the end of each message, so that pipelined requests wait for their turn.
    package var pauseAfterMessage = false
    /// Whether part of a message has been read.
    package var isInMessage: Bool { fatalError("unimplemented") }
}
