/// Takes out of an upstream's error text what would give the account, its owner or hosts inside away to a caller: ids of
/// organisations, projects and accounts, e-mail addresses, keys and tokens, ARNs, addresses, and URLs that lead inside or
/// carry credentials. Ids of requests stay: with them a provider can be asked.
///
/// It goes by the shape of words, so it may take a word too many; what has no such shape, a company's name, it cannot know.
package enum LeakScrubber {
    package static let mark = "[redacted]"

    /// The text without what leaks; nil when there is nothing of the kind in it.
    ///
    /// - Parameter hosts: further names that callers must not see, such as the account's own upstream.
    package static func scrub(_ text: String, hiding hosts: [String] = []) -> String? {
        var text = text
        return text.withUTF8 { scrub(UnsafeRawBufferPointer($0), hiding: hosts) }
            .map { String(decoding: $0, as: UTF8.self) }
    }

    /// The same for bytes that are UTF-8: what is taken out is ASCII, so the rest stays valid.
    package static func scrub(_ text: UnsafeRawBufferPointer, hiding hosts: [String] = []) -> [UInt8]? {
        let patterns = LeakPatterns(text, hosts: hosts)
        var out: [UInt8] = []
        var kept = 0
        var at = 0
        while at < text.count {
            guard patterns.isStart(at), let leak = patterns.leak(at: at), leak.upperBound > at else {
                at += 1
                continue
            }
            out.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[kept..<leak.lowerBound]))
            out.append(contentsOf: mark.utf8)
            kept = leak.upperBound
            at = kept
        }
        guard kept > 0 else { return nil }
        out.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[kept...]))
        return out
    }
}
