/// Which prompt prefixes a provider has cached, by their digests, and until when.
package struct PromptCache {
    private static let mostEntries = 50_000
    private var ends: [UInt64: Int64] = [:]

    package init() {}

    /// - Parameter now: milliseconds.
    package func holds(_ prefix: UInt64, now: Int64) -> Bool { ends[prefix].map { $0 > now } ?? false }

    package mutating func store(_ prefix: UInt64, lasting milliseconds: Int64, now: Int64) {
        if ends.count >= Self.mostEntries {
            ends = ends.filter { $0.value > now }
            if ends.count >= Self.mostEntries { ends = [:] }
        }
        ends[prefix] = max(ends[prefix] ?? 0, now &+ milliseconds)
    }

    package mutating func clear() { ends = [:] }
}
