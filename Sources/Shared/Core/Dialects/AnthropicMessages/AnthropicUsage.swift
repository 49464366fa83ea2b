package import Domain
package import Formats

/// Reads the `usage` object of the Messages API.
package enum AnthropicUsage {
    /// Takes over every count that is present: in a stream each report is cumulative and may leave classes out.
    ///
    /// - Returns: whether there was a count of what was read or generated.
    @discardableResult
    package static func update<Value: JSONReadable>(_ usage: inout TokenUsage, from object: Value) -> Bool {
        var counts = Counts(object)
        if let iterations = object["iterations"] { counts.take(iterations) }
        if let input = counts.input { usage.input = input }
        if let output = counts.output { usage.output = output }
        if let read = counts.cacheRead { usage.cacheRead = read }
        if counts.written5m != nil || counts.written1h != nil {
            usage.cacheWrite5m = counts.written5m ?? 0
            usage.cacheWrite1h = counts.written1h ?? 0
            // What the sum has beyond its parts is of the default class.
            if let written = counts.written { usage.cacheWrite5m += max(0, written - usage.cacheWrite) }
        } else if let written = counts.written, written != usage.cacheWrite {
            usage.cacheWrite5m = max(0, written - usage.cacheWrite1h)
            usage.cacheWrite1h = min(usage.cacheWrite1h, written)
        }
        usage.tier = tier(object, known: usage.tier)
        if let searches = ReportedCount.read(object["server_tool_use"]?["web_search_requests"]) {
            usage.webSearches = searches
        }
        return counts.input != nil || counts.output != nil
    }

    /// Fast mode and inference in the United States alone have prices of their own (docs: Fast mode, Data residency); the
    /// first event of a stream says them, the last one need not.
    private static func tier(_ object: some JSONReadable, known: ServiceTier) -> ServiceTier {
        func isSaid(_ name: StaticString, _ word: StaticString) -> Bool? {
            guard let value = object[name], value.isString else { return nil }
            return value.equals(word)
        }
        let isFast = isSaid("speed", "fast") ?? known.isFast
        let isUS = isSaid("inference_geo", "us") ?? known.isUS
        guard !isFast, !isUS else { return ServiceTier(isFast: isFast, isUS: isUS) }
        return ServiceTier(reported: object["service_tier"]) ?? (known.isFast || known.isUS ? .standard : known)
    }

    /// The token counts of one object.
    private struct Counts {
        var input: Int64?
        var output: Int64?
        var cacheRead: Int64?
        var written: Int64?
        var written5m: Int64?
        var written1h: Int64?

        private static var fields: [WritableKeyPath<Self, Int64?>] {
            [\.input, \.output, \.cacheRead, \.written, \.written5m, \.written1h]
        }

        init(_ object: some JSONReadable) {
            input = ReportedCount.read(object["input_tokens"])
            output = ReportedCount.read(object["output_tokens"])
            cacheRead = ReportedCount.read(object["cache_read_input_tokens"])
            written = ReportedCount.read(object["cache_creation_input_tokens"])
            let breakdown = object["cache_creation"]
            written5m = ReportedCount.read(breakdown?["ephemeral_5m_input_tokens"])
            written1h = ReportedCount.read(breakdown?["ephemeral_1h_input_tokens"])
        }

        /// Where a context was compacted on the way, the object itself counts the messages alone, and what is billed is the
        /// sum over the iterations (docs: Compaction, Understanding usage). Those of another model are no part of it.
        mutating func take(_ iterations: some JSONReadable) {
            var sums: [Counts] = []
            var isCompacted = false
            iterations.forEachElement { iteration in
                let type = iteration["type"]
                let isCompaction = type?.equals("compaction") ?? false
                guard isCompaction || type?.equals("message") ?? false else { return }
                isCompacted = isCompacted || isCompaction
                sums.append(Counts(iteration))
            }
            guard isCompacted else { return }
            for field in Self.fields {
                let counts = sums.compactMap { $0[keyPath: field] }
                guard !counts.isEmpty else { continue }
                let sum = counts.reduce(0) { min(ReportedCount.maximum, $0 + $1) }
                self[keyPath: field] = max(self[keyPath: field] ?? 0, sum)
            }
        }
    }
}
