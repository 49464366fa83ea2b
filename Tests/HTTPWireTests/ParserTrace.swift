import HTTPMessages
import HTTPWire

/// What a parser said about some input, in an order-preserving form that can be compared. Pieces of one body are
/// joined, because how a body is cut depends on how its bytes arrived.
final class ParserTrace: HTTP1ParserDelegate {
    enum Event: Equatable {
        case request(HTTPRequestHead, keepsAlive: Bool, expectsContinue: Bool)
        case response(HTTPResponseHead, keepsAlive: Bool)
        case body([UInt8])
        case end
    }
    private(set) var events: [Event] = []
    private(set) var error: HTTP1Error?
    let parser: HTTP1Parser

    init(_ kind: HTTP1Parser.Kind, maximumHeadBytes: Int = 64 * 1024) {
        parser = HTTP1Parser(kind, maximumHeadBytes: maximumHeadBytes)
        parser.delegate = self
    }

    /// Parses `input` in pieces cut at `cuts`; stops at the first error.
    convenience init(
        _ kind: HTTP1Parser.Kind,
        _ input: [UInt8],
        cuts: [Int] = [],
        finishes: Bool = false,
        configure: (HTTP1Parser) -> Void = { _ in }
    ) {
        self.init(kind)
        configure(parser)
        var start = 0
        for end in cuts + [input.count] where end >= start {
            feed(input[start..<end])
            start = end
        }
        if finishes, error == nil {
            do throws(HTTP1Error) { try parser.finish() } catch { self.error = error }
        }
    }

    @discardableResult
    func feed(_ bytes: ArraySlice<UInt8>) -> Int {
        guard error == nil else { return 0 }
        // A copy of its own, so that a read beyond the piece is a read beyond the allocation.
        let copy = [UInt8](bytes)
        return copy.withUnsafeBytes { bytes in
            do throws(HTTP1Error) {
                return try parser.feed(bytes)
            } catch {
                self.error = error
                return 0
            }
        }
    }

    var methods: [String] {
        events.compactMap { if case .request(let head, _, _) = $0 { head.method } else { nil } }
    }
    var body: String {
        events.map { if case .body(let bytes) = $0 { String(decoding: bytes, as: UTF8.self) } else { "" } }.joined()
    }
    var ends: Int { events.count { $0 == .end } }

    func parserDidReadRequestHead(_ head: HTTPRequestHead, keepsAlive: Bool, expectsContinue: Bool) {
        events.append(.request(head, keepsAlive: keepsAlive, expectsContinue: expectsContinue))
    }

    func parserDidReadResponseHead(_ head: HTTPResponseHead, keepsAlive: Bool) {
        events.append(.response(head, keepsAlive: keepsAlive))
    }

    func parserDidReadBody(_ bytes: UnsafeRawBufferPointer) {
        if case .body(let earlier) = events.last {
            events[events.count - 1] = .body(earlier + bytes)
        } else {
            events.append(.body([UInt8](bytes)))
        }
    }

    func parserDidEndMessage() { events.append(.end) }
}
