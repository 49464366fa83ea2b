import Formats
import HTTPMessages
import HTTPWire

/// The SSE parser must say the same wherever the stream is cut, and lend every byte of it.
enum SSETarget {
    static func feed(_ input: [UInt8]) {
        let cuts = Cuts(input)
        let whole = read([cuts.bytes])
        let cut = read(cuts.pieces)
        precondition(whole.events == cut.events, "cut differently, read differently")
        precondition(whole.isCut == cut.isCut && whole.isRefused == cut.isRefused)
        precondition(whole.isRefused || whole.raw.elementsEqual(cuts.bytes), "bytes were lost")
    }

    private struct Outcome {
        var events: [[[UInt8]]] = []
        var raw: [UInt8] = []
        var isCut = false
        var isRefused = false
    }

    private static func read(_ pieces: [ArraySlice<UInt8>]) -> Outcome {
        var outcome = Outcome()
        var parser = SSEParser(maximumEventBytes: 1024)
        func note(_ event: SSEEvent) {
            outcome.raw += event.raw
            outcome.events.append([Array(event.name), Array(event.data), Array(event.id), [event.hasData ? 1 : 0]])
        }
        do {
            for piece in pieces { try Array(piece).withUnsafeBytes { try parser.feed($0, note) } }
            outcome.isCut = try parser.finish(note)
        } catch {
            outcome.isRefused = true
        }
        return outcome
    }
}

/// The same of Amazon's binary event streams.
enum AWSEventsTarget {
    static func feed(_ input: [UInt8]) {
        let cuts = Cuts(input)
        let whole = read([cuts.bytes])
        let cut = read(cuts.pieces)
        precondition(whole.payloads == cut.payloads && whole.error == cut.error, "cut differently, read differently")
    }

    private static func read(_ pieces: [ArraySlice<UInt8>]) -> (payloads: [[UInt8]], error: AWSEventStreamError?) {
        var payloads: [[UInt8]] = []
        var parser = AWSEventStreamParser(maximumMessageBytes: 4096)
        do {
            for piece in pieces {
                try Array(piece).withUnsafeBytes {
                    try parser.feed($0) { message in
                        _ = message.headers
                        payloads.append(Array(message.payload))
                    }
                }
            }
        } catch {
            return (payloads, error as? AWSEventStreamError)
        }
        return (payloads, nil)
    }
}

/// The HTTP/1.1 parser must say the same wherever a message is cut.
enum HTTP1Target {
    static func feed(_ input: [UInt8], _ kind: HTTP1Parser.Kind) {
        let cuts = Cuts(input)
        let whole = Trace(kind, [cuts.bytes])
        let cut = Trace(kind, cuts.pieces)
        precondition(whole.events == cut.events, "cut differently, read differently")
        precondition(whole.isRefused == cut.isRefused)
    }

    private final class Trace: HTTP1ParserDelegate {
        enum Event: Equatable {
            case request(HTTPRequestHead, Bool, Bool)
            case response(HTTPResponseHead, Bool)
            case body([UInt8])
            case end
        }
        private(set) var events: [Event] = []
        private(set) var isRefused = false
        private let parser: HTTP1Parser

        init(_ kind: HTTP1Parser.Kind, _ pieces: [ArraySlice<UInt8>]) {
            parser = HTTP1Parser(kind, maximumHeadBytes: 2048)
            parser.delegate = self
            do throws(HTTP1Error) {
                for piece in pieces {
                    try feed(Array(piece))
                }
                try parser.finish()
            } catch {
                isRefused = true
            }
        }

        private func feed(_ piece: [UInt8]) throws(HTTP1Error) {
            let result = piece.withUnsafeBytes { bytes in
                Result { () throws(HTTP1Error) in _ = try parser.feed(bytes) }
            }
            try result.get()
        }

        func parserDidReadRequestHead(_ head: HTTPRequestHead, keepsAlive: Bool, expectsContinue: Bool) {
            events.append(.request(head, keepsAlive, expectsContinue))
        }
        func parserDidReadResponseHead(_ head: HTTPResponseHead, keepsAlive: Bool) {
            events.append(.response(head, keepsAlive))
        }
        func parserDidReadBody(_ bytes: UnsafeRawBufferPointer) {
            if case .body(let earlier) = events.last {
                events[events.count - 1] = .body(earlier + bytes)
            } else {
                events.append(.body(Array(bytes)))
            }
        }
        func parserDidEndMessage() { events.append(.end) }
    }
}
