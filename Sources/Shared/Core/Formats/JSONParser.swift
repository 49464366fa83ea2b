import CSimdJSON

/// Why bytes are not a usable JSON document.
@usableFromInline
package enum JSONError: Error, Equatable {
    /// Nothing but white space.
    case empty
    /// Not JSON (RFC 8259).
    case malformed
    case invalidUTF8
    /// Nested deeper than the parser's `maximumDepth`.
    case tooDeep
    /// More values and punctuation than the parser's `maximumStructurals`.
    case tooComplex
    case outOfMemory
}

/// Parses and validates JSON documents with simdjson, reusing its buffers from one to the next.
///
/// Keep one for each loop or thread. Every valid document is accepted: an integer beyond 64 bits reads as the nearest
/// double, a number beyond a double as ±9e307, and a lone surrogate as U+FFFD, while the source bytes stay as they came.
@usableFromInline
package final class JSONParser {
    /// Documents longer than this, in bytes, do not leave their buffers behind.
    package static let retainedDocumentBytes = 1 << 20
    /// Readable bytes that must follow a document parsed in place.
    @usableFromInline package static let padding = 64

    private let parser: OpaquePointer
    // Where the document stands that is being lent: each of a fixed size, whatever is parsed.
    private let document = UnsafeMutablePointer<tg_json_document>.allocate(capacity: 1)
    private let found = UnsafeMutablePointer<tg_json_outline>.allocate(capacity: 1)
    private var isParsing = false

    /// - Parameters:
    ///   - maximumDepth: how deep objects and arrays may nest.
    ///   - maximumStructurals: how many brackets, commas, colons and scalars a document may have; each costs up to
    ///     23 bytes while it is parsed.
    package init(maximumDepth: Int = 512, maximumStructurals: Int = 8_000_000) {
        guard let parser = tg_json_parser_new(maximumDepth, maximumStructurals) else {
            fatalError("no memory for a JSON parser")
        }
        self.parser = parser
    }

    deinit {
        tg_json_parser_free(parser)
        document.deallocate()
        found.deallocate()
    }

    /// Parses a copy of `bytes` and lends the document to `body`.
    ///
    /// The document and its values must not leave `body`, and `body` must not parse with the same parser.
    /// - Throws: `JSONError`, or what `body` throws.
    @inlinable
    package func parse<Result>(_ bytes: UnsafeRawBufferPointer, _ body: (JSONDocument) throws -> Result) throws
        -> Result
    {
        let document = try lendDocument(of: bytes, isPadded: false)
        defer { takeBack() }
        return try body(document)
    }

    /// Parses bytes that are followed by at least `padding` readable bytes, without copying them.
    @inlinable
    package func parse<Result>(padded bytes: UnsafeRawBufferPointer, _ body: (JSONDocument) throws -> Result) throws
        -> Result
    {
        let document = try lendDocument(of: bytes, isPadded: true)
        defer { takeBack() }
        return try body(document)
    }

    /// Parses an array, in place if it has `padding` bytes of spare capacity.
    @inlinable
    package func parse<Result>(_ bytes: [UInt8], _ body: (JSONDocument) throws -> Result) throws -> Result {
        let isPadded = bytes.capacity - bytes.count >= Self.padding
        return try bytes.withUnsafeBytes { try isPadded ? parse(padded: $0, body) : parse($0, body) }
    }

    @inlinable
    package func parse<Result>(_ bytes: ArraySlice<UInt8>, _ body: (JSONDocument) throws -> Result) throws -> Result {
        try bytes.withUnsafeBytes { try parse($0, body) }
    }

    /// Validates a document like a parse, and lends what is known of it without decoding anything: a fraction of the work
    /// of a parse where texts are long.
    ///
    /// The outline and its values must not leave `body`, and `body` must not use the same parser.
    /// - Throws: `JSONError`, for what a parse would throw it for as well, or what `body` throws.
    @inlinable
    package func outline<Result>(_ bytes: [UInt8], _ body: (JSONOutline) throws -> Result) throws -> Result {
        let isPadded = bytes.capacity - bytes.count >= Self.padding
        return try bytes.withUnsafeBytes { try outline($0, isPadded: isPadded, body) }
    }

    /// - Parameter isPadded: whether `padding` readable bytes follow; else the document is copied.
    @inlinable
    package func outline<Result>(
        _ bytes: UnsafeRawBufferPointer,
        isPadded: Bool = false,
        _ body: (JSONOutline) throws -> Result
    ) throws -> Result {
        let outline = try lendOutline(of: bytes, isPadded: isPadded)
        defer { takeBack() }
        return try body(outline)
    }

    // Not generic, so that only what is lent to is made anew for each use.

    @usableFromInline
    func lendDocument(of bytes: UnsafeRawBufferPointer, isPadded: Bool) throws(JSONError) -> JSONDocument {
        try lend(tg_json_parse(parser, bytes.baseAddress, bytes.count, isPadded, document))
        return JSONDocument(document)
    }

    @usableFromInline
    func lendOutline(of bytes: UnsafeRawBufferPointer, isPadded: Bool) throws(JSONError) -> JSONOutline {
        try lend(tg_json_find_outline(parser, bytes.baseAddress, bytes.count, isPadded, found))
        return JSONOutline(found)
    }

    /// Keeps the parser from being used again while somebody holds what it has lent.
    private func lend(_ status: @autoclosure () -> tg_json_status) throws(JSONError) {
        precondition(!isParsing, "a JSON parser was used from inside its own document")
        if let error = JSONError(status()) {
            release()
            throw error
        }
        isParsing = true
    }

    @usableFromInline
    func takeBack() {
        isParsing = false
        release()
    }

    private func release() { tg_json_parser_release(parser, Self.retainedDocumentBytes) }
}

extension JSONError {
    fileprivate init?(_ status: tg_json_status) {
        switch status {
        case TG_JSON_OK: return nil
        case TG_JSON_EMPTY: self = .empty
        case TG_JSON_INVALID_UTF8: self = .invalidUTF8
        case TG_JSON_TOO_DEEP: self = .tooDeep
        case TG_JSON_TOO_COMPLEX: self = .tooComplex
        case TG_JSON_OUT_OF_MEMORY: self = .outOfMemory
        default: self = .malformed
        }
    }
}
