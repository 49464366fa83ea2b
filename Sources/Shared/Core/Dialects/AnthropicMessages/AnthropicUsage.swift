package import Domain
package import Formats

/// Reads the `usage` object of the Messages API.
package enum AnthropicUsage {
    /// Takes over every count that is present: in a stream each report is cumulative and may leave classes out.
    ///
    /// - Parameter others: what other models have done, where the report says so.
    /// - Returns: whether there was a count of what was read or generated.
    @discardableResult
    package static func update(
        _ usage: inout TokenUsage,
        _ others: inout [ModelUsage],
        from object: some JSONReadable
    ) -> Bool {
        var counts = Counts(object)
        var found: [ModelUsage] = []
        if let iterations = object["iterations"] {
            counts.take(iterations)
            counts.takeOut(iterations, &found)
            counts.put(into: &usage)
        } else if usage.total == 0, let last = others.indices.last {
            // Another model has taken over: it is the one that goes on.
            counts.put(into: &others[last].usage)
        } else {
            counts.put(into: &usage)
        }
        usage.tier = tier(object, known: usage.tier)
        if !found.isEmpty {
            others = found.map { other in
                var other = other
                other.usage.tier = usage.tier
                return other
            }
        }
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

        func put(into usage: inout TokenUsage) {
            if let input { usage.input = input }
            if let output { usage.output = output }
            if let read = cacheRead { usage.cacheRead = read }
            if written5m != nil || written1h != nil {
                usage.cacheWrite5m = written5m ?? 0
                usage.cacheWrite1h = written1h ?? 0
                // What the sum has beyond its parts is of the default class.
                if let written { usage.cacheWrite5m += max(0, written - usage.cacheWrite) }
            } else if let written, written != usage.cacheWrite {
                usage.cacheWrite5m = max(0, written - usage.cacheWrite1h)
                usage.cacheWrite1h = min(usage.cacheWrite1h, written)
            }
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

        /// An advisor's work is no part of the object's own counts (docs: Advisor tool). Where another model has taken over
        /// (docs: Refusals and fallback) these are its counts, and each attempt that wrote something is billed as its model's,
        /// or as the asked one's where none is named.
        mutating func takeOut(_ iterations: some JSONReadable, _ others: inout [ModelUsage]) {
            var (advice, attempts): ([ModelUsage], [ModelUsage]) = ([], [])
            var own = TokenUsage()
            var (hasFallback, count) = (false, 0)
            iterations.forEachElement { iteration in
                count += 1
                guard count <= Self.mostIterations, let type = iteration["type"] else { return }
                var usage = TokenUsage()
                Counts(iteration).put(into: &usage)
                let model = iteration["model"]?.string.flatMap {
                    $0.utf8.count <= RequestFields.maximumModelLength ? $0 : nil
                }
                if type.equals("advisor_message") {
                    if let model { advice.append(ModelUsage(model, usage)) }
                } else if ["message", "fallback_message", "compaction"].contains(where: type.equals) {
                    hasFallback = hasFallback || (type.equals("fallback_message") && model != nil)
                    guard usage.output > 0 else { return }
                    if let model { attempts.append(ModelUsage(model, usage)) } else { own = own.adding(usage) }
                }
            }
            others = advice
            guard hasFallback, count <= Self.mostIterations else { return }
            others += attempts
            (input, output, cacheRead) = (own.input, own.output, own.cacheRead)
            (written, written5m, written1h) = (own.cacheWrite, own.cacheWrite5m, own.cacheWrite1h)
        }

        private static let mostIterations = 256
    }
}
