/// What a model name, an API key or an armed fault asks of the simulator.
///
/// The words follow `sim-`, separated by dashes: `claude-sonnet-4-5-sim-e100-d5` is a hundred content events 5 ms
/// apart, `sk-ant-sim-429retry30-a` a key that is always rate limited. Any other word is ignored, so a name can carry
/// a tag or a date. A word's number follows it directly.
///
/// | word | effect |
/// |---|---|
/// | `eN` | N content events (of the text) |
/// | `bN` | N bytes of text |
/// | `lN` | the head comes after N ms |
/// | `fdN` | N ms of silence before the first content event |
/// | `dN` | N ms between content events |
/// | `chopN` | the body leaves in pieces of N bytes, whatever the events' bounds |
/// | `tools`, `toolsN` | calls one, N of the request's tools |
/// | `iN` `oN` `crN` `cwN` `c1hN` `wsN` | usage: input, output, cache read, cache write 5 m and 1 h, web searches |
/// | `rtN` | usage: so many of the output tokens were reasoning |
/// | `iiN` `aiN` `ioN` `aoN` | usage: so many of the input, of the output tokens were of images, of sound |
/// | `think`, `refuse` | thinks unasked; the model refuses |
/// | `interim` | a 103 precedes the answer |
/// | `400`…`599` | that status with the platform's own body; a variant may follow: `400credit`, `403html`, `429retry30` |
/// | `400leak` | a refusal whose text names the account's owner, a key and a host inside |
/// | `nostatusbody` | the error status comes without a body |
/// | `hang`, `reset`, `slowN` | no answer ever; the connection is reset; the head comes after N ms (10,000) |
/// | `cutN`, `cutcleanN`, `stallN`, `erreventN` | after N content events (half of them): reset, end, silence, error event |
/// | `empty`, `emptybody`, `garbage`, `hugeeventN` | 200 without content, without a body, not JSON, an event of N MiB (1) |
/// | `badcrcN` | after N content events (half of them) one with a wrong checksum, where events have one |
/// | `gzip`, `longlength`, `shortlength` | encoded unasked; a wrong `content-length` |
/// | `everyN` | the fault strikes every Nth call only (of that model name; of that key) |
/// | `firstN` | … the first N calls only of each credential |
/// | `firstallN` | … the first N calls only, whatever the credential |
package struct ControlWords: Hashable, Sendable {
    package var events: Int?
    package var bytes: Int?
    package var headDelay: Int?
    package var contentDelay: Int?
    package var eventDelay: Int?
    package var pieceBytes: Int?
    package var toolCalls: Int?
    package var inputTokens: Int?
    package var outputTokens: Int?
    package var cacheReadTokens: Int?
    package var cacheWriteTokens: Int?
    package var cacheWrite1hTokens: Int?
    package var webSearches: Int?
    package var reasoningTokens: Int?
    package var imageInputTokens: Int?
    package var audioInputTokens: Int?
    package var imageOutputTokens: Int?
    package var audioOutputTokens: Int?
    package var isThinking = false
    package var isRefusing = false
    package var hasInterim = false
    package var hasNoStatusBody = false
    package var fault: Fault?
    package var gate = Gate()

    /// Which of several calls the fault strikes; without any of these, all.
    package struct Gate: Hashable, Sendable {
        package var every: Int?
        package var first: Int?
        package var firstOfAll: Int?

        package var isOpen: Bool { every == nil && first == nil && firstOfAll == nil }
    }

    /// An hour, in milliseconds.
    static let longestDelay = 3_600_000
    static let mostEvents = 100_000
    static let mostBytes = 64 << 20

    package init() {}

    /// The words of a model name or a key; none when it has no `sim-` at its start or after a sign.
    package init(in name: String) {
        self.init()
        let name = name.lowercased()
        var rest = name[...]
        while let marker = rest.firstRange(of: "sim-") {
            rest = rest[marker.upperBound...]
            let before = name[..<marker.lowerBound].last
            if before.map({ !$0.isLetter && !$0.isNumber }) ?? true {
                take(rest)
                return
            }
        }
    }

    /// The words themselves, separated by dashes.
    package init(words: String) { take(words.lowercased()[...]) }

    private mutating func take(_ words: Substring) {
        for word in words.split(separator: "-") { take(word: word) }
    }

    private mutating func take(word: Substring) {
        if let fault = Self.statusFault(word) {
            self.fault = fault
            return
        }
        let digits = word.utf8.reversed().prefix { $0 >= 0x30 && $0 <= 0x39 }.count
        let name = String(word.dropLast(digits))
        let number = digits == 0 ? nil : Int(word.suffix(digits)) ?? Int.max
        if let fault = Fault(name: name, number: number) {
            self.fault = fault
            return
        }
        switch (name, number) {
        case ("e", let number?): events = max(1, min(number, Self.mostEvents))
        case ("b", let number?): bytes = min(number, Self.mostBytes)
        case ("l", let number?): headDelay = min(number, Self.longestDelay)
        case ("fd", let number?): contentDelay = min(number, Self.longestDelay)
        case ("d", let number?): eventDelay = min(number, Self.longestDelay)
        case ("chop", let number?): pieceBytes = max(1, number)
        case ("tools", _): toolCalls = min(number ?? 1, 64)
        case ("i", let number?): inputTokens = number
        case ("o", let number?): outputTokens = number
        case ("cr", let number?): cacheReadTokens = number
        case ("cw", let number?): cacheWriteTokens = number
        case ("c1h", let number?): cacheWrite1hTokens = number
        case ("ws", let number?): webSearches = number
        case ("rt", let number?): reasoningTokens = number
        case ("ii", let number?): imageInputTokens = number
        case ("ai", let number?): audioInputTokens = number
        case ("io", let number?): imageOutputTokens = number
        case ("ao", let number?): audioOutputTokens = number
        case ("think", nil): isThinking = true
        case ("refuse", nil): isRefusing = true
        case ("interim", nil): hasInterim = true
        case ("nostatusbody", nil): hasNoStatusBody = true
        case ("every", let number?): gate.every = max(1, number)
        case ("first", let number?): gate.first = number
        case ("firstall", let number?): gate.firstOfAll = number
        default: break
        }
    }

    /// `429`, `403html`, `429retry30`.
    private static func statusFault(_ word: Substring) -> Fault? {
        let code = word.prefix(3)
        guard code.count == 3, let status = Int(code), (400...599).contains(status) else { return nil }
        let variant = word.dropFirst(3)
        let name = variant.prefix { $0.isLetter }
        let digits = variant.dropFirst(name.count)
        guard !variant.isEmpty else { return .status(status, variant: "", amount: nil) }
        guard !name.isEmpty, digits.isEmpty || Int(digits) != nil else { return nil }
        return .status(status, variant: String(name), amount: Int(digits))
    }

    /// These words with those that `other` has in place of them.
    package func overlaid(by other: ControlWords) -> ControlWords {
        var words = self
        words.events = other.events ?? events
        words.bytes = other.bytes ?? bytes
        words.headDelay = other.headDelay ?? headDelay
        words.contentDelay = other.contentDelay ?? contentDelay
        words.eventDelay = other.eventDelay ?? eventDelay
        words.pieceBytes = other.pieceBytes ?? pieceBytes
        words.toolCalls = other.toolCalls ?? toolCalls
        words.inputTokens = other.inputTokens ?? inputTokens
        words.outputTokens = other.outputTokens ?? outputTokens
        words.cacheReadTokens = other.cacheReadTokens ?? cacheReadTokens
        words.cacheWriteTokens = other.cacheWriteTokens ?? cacheWriteTokens
        words.cacheWrite1hTokens = other.cacheWrite1hTokens ?? cacheWrite1hTokens
        words.webSearches = other.webSearches ?? webSearches
        words.reasoningTokens = other.reasoningTokens ?? reasoningTokens
        words.imageInputTokens = other.imageInputTokens ?? imageInputTokens
        words.audioInputTokens = other.audioInputTokens ?? audioInputTokens
        words.imageOutputTokens = other.imageOutputTokens ?? imageOutputTokens
        words.audioOutputTokens = other.audioOutputTokens ?? audioOutputTokens
        words.isThinking = isThinking || other.isThinking
        words.isRefusing = isRefusing || other.isRefusing
        words.hasInterim = hasInterim || other.hasInterim
        words.hasNoStatusBody = hasNoStatusBody || other.hasNoStatusBody
        words.fault = other.fault ?? fault
        return words
    }
}
