package import Domain
package import Formats

/// Shows a caller the cache writes of an answer in the class in which they are billed.
package enum CacheTTLRewrite {
    private static let longestEvent = 1 << 20
    private static let shortWrites: [[StaticString]] = [
        ["usage", "cache_creation", "ephemeral_5m_input_tokens"],
        ["message", "usage", "cache_creation", "ephemeral_5m_input_tokens"],
    ]
    private static let longWrites: [[StaticString]] = [
        ["usage", "cache_creation", "ephemeral_1h_input_tokens"],
        ["message", "usage", "cache_creation", "ephemeral_1h_input_tokens"],
    ]

    /// A whole answer, or nil when nothing in it has to move.
    package static func body(_ body: [UInt8], to ttl: CacheTTL, _ parser: JSONParser) -> [UInt8]? {
        let changes: [CallSummary.Insertion]?? = try? parser.parse(body) { self.changes($0, body, ttl) }
        guard let changes = changes ?? nil else { return nil }
        return Splice.applying(changes, to: body)
    }

    /// An event of a stream, or nil when nothing in it has to move.
    package static func event(_ event: SSEEvent, to ttl: CacheTTL, _ parser: JSONParser) -> [UInt8]? {
        guard event.hasData, event.data.first == UInt8(ascii: "{"), event.data.count <= longestEvent else { return nil }
        let data = Array(event.data)
        guard let changed = body(data, to: ttl, parser) else { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(changed.count + 64)
        SSEWriter.append(changed, inPlaceOf: event, to: &out)
        return out
    }

    private static func changes(_ document: JSONDocument, _ body: [UInt8], _ ttl: CacheTTL)
        -> [CallSummary.Insertion]?
    {
        for (short, long) in zip(shortWrites, longWrites) {
            guard let in5m = document.locate(path: short).value, let in1h = document.locate(path: long).value,
                let short = number(body, in5m), let long = number(body, in1h)
            else { continue }
            let (source, target) = ttl == .oneHour ? (in5m, in1h) : (in1h, in5m)
            let (sum, overflow) = short.addingReportingOverflow(long)
            guard (ttl == .oneHour ? short : long) > 0, !overflow else { return nil }
            return [.init([UInt8(ascii: "0")], replacing: source), .init(Array(String(sum).utf8), replacing: target)]
        }
        return nil
    }

    private static func number(_ body: [UInt8], _ range: Range<Int>) -> Int64? {
        guard range.upperBound <= body.count else { return nil }
        return Int64(String(decoding: body[range], as: UTF8.self))
    }
}
