/// How long a prompt is, and which of its beginnings are to be cached.
///
/// A prompt is its tools, its system text and its messages, in this order. A token is four bytes of it: text counts as
/// it stands, a tool as the bytes of its JSON, an image as 1,000 tokens, a file as 2,000. What stands in a
/// base64 field is never counted.
package struct Prompt {
    package enum Lifetime: Sendable {
        case fiveMinutes, oneHour

        var milliseconds: Int64 {
            switch self {
            case .fiveMinutes: 300_000
            case .oneHour: 3_600_000
            }
        }
    }

    /// A `cache_control` mark: the prompt up to here is to be cached.
    package struct Breakpoint {
        var bytes: Int
        var digest: UInt64
        var lifetime: Lifetime
    }

    static let imageBytes = 4_000
    static let fileBytes = 8_000

    private(set) var bytes = 0
    private(set) var breakpoints: [Breakpoint] = []
    private var digest: Digest

    /// - Parameter owner: whose cache it is; another's holds nothing for it.
    init(owner: String) {
        digest = Digest()
        digest.update(owner)
    }

    /// Text that counts as it stands.
    mutating func add(_ text: UnsafeRawBufferPointer) {
        bytes &+= text.count
        digest.update(text)
        // Keeps "ab" + "c" apart from "a" + "bc".
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: text.count)) { digest.update($0) }
    }

    mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }

    /// Content that counts as a fixed number of bytes.
    mutating func add(_ content: UnsafeRawBufferPointer, countingAs count: Int) {
        bytes &+= count
        digest.update(content)
    }

    mutating func mark(_ lifetime: Lifetime) {
        breakpoints.append(Breakpoint(bytes: bytes, digest: digest.final, lifetime: lifetime))
    }

    static func tokens(_ bytes: Int) -> Int { (bytes &+ 3) / 4 }

    /// All tokens of the prompt, cached or not.
    var tokens: Int { max(1, Self.tokens(bytes)) }

    /// Whether a provider caches what it likes, not what the request marks: the prompt's beginning, once it is long
    /// enough, in whole blocks, and without a price for writing.
    var isCachedUnasked = false
    private static let leastCachedTokens = 1_024
    private static let cachedBlockTokens = 128

    /// The input side of the usage: what the cache holds is read, the rest up to the last mark is written to it.
    func usage(isCached: (UInt64) -> Bool) -> ReportedUsage {
        var usage = ReportedUsage()
        let hit = breakpoints.lastIndex { isCached($0.digest) }
        var counted = hit.map { Self.tokens(breakpoints[$0].bytes) } ?? 0
        if isCachedUnasked {
            if counted >= Self.leastCachedTokens { usage.cacheRead = counted - counted % Self.cachedBlockTokens }
            usage.input = tokens - usage.cacheRead
            return usage
        }
        usage.cacheRead = counted
        for breakpoint in breakpoints.dropFirst(hit.map { $0 + 1 } ?? 0) {
            let tokens = Self.tokens(breakpoint.bytes)
            switch breakpoint.lifetime {
            case .fiveMinutes: usage.cacheWrite5m += tokens - counted
            case .oneHour: usage.cacheWrite1h += tokens - counted
            }
            counted = tokens
        }
        usage.input = tokens - counted
        return usage
    }
}
