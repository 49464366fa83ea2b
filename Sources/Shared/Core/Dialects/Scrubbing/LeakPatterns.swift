/// What in a text looks like something that callers must not see. Every look ahead is bounded.
struct LeakPatterns {
    /// A word that begins in a known way and goes on long enough.
    private struct Prefix {
        let text: StaticString
        /// Characters after the prefix.
        let minimum: Int
        /// The first of them up to a hyphen must look like chance: words of a language have no digits and are short.
        var isRandom = false
        /// Only what follows goes.
        var isKept = false
        var hasDots = false
    }

    private static let prefixes: [Prefix] = [
        // OpenAI, Anthropic: organisations, projects, users, workspaces.
        Prefix(text: "org-", minimum: 6, isRandom: true), Prefix(text: "org_", minimum: 6, isRandom: true),
        Prefix(text: "proj_", minimum: 6, isRandom: true), Prefix(text: "proj-", minimum: 6, isRandom: true),
        Prefix(text: "user-", minimum: 16, isRandom: true), Prefix(text: "user_", minimum: 16, isRandom: true),
        Prefix(text: "wrkspc_", minimum: 6), Prefix(text: "acct_", minimum: 6), Prefix(text: "apikey_", minimum: 6),
        Prefix(text: "projects/", minimum: 4, isKept: true), Prefix(text: "organizations/", minimum: 4, isKept: true),
        // Keys and tokens: OpenAI and Anthropic, Google, AWS and its Bedrock, JSON web tokens, others behind a base URL.
        Prefix(text: "sk-", minimum: 6), Prefix(text: "sess-", minimum: 16), Prefix(text: "AIza", minimum: 8),
        Prefix(text: "ya29.", minimum: 8, hasDots: true), Prefix(text: "GOCSPX-", minimum: 8),
        Prefix(text: "1//", minimum: 16),
        Prefix(text: "AKIA", minimum: 12), Prefix(text: "ASIA", minimum: 12), Prefix(text: "ABSK", minimum: 24),
        Prefix(text: "eyJ", minimum: 16, hasDots: true), Prefix(text: "gsk_", minimum: 16),
        Prefix(text: "xai-", minimum: 16),
        Prefix(text: "ghp_", minimum: 16), Prefix(text: "hf_", minimum: 16),
    ]

    /// Names before `=` or `:` whose value is a secret; lower case.
    private static let secretNames: [StaticString] = [
        "key", "api_key", "api-key", "apikey", "x-api-key", "x-goog-api-key", "token", "access_token", "refresh_token",
        "id_token", "secret", "client_secret", "password", "signature", "sig", "x-amz-signature", "x-amz-credential",
        "x-amz-security-token", "authorization", "bearer", "basic",
    ]

    /// After one of these a number or a UUID is whose account it is; lower case.
    private static let owners: [StaticString] = [
        "organi", "org", "project", "account", "workspace", "tenant", "subscription", "customer", "user",
    ]

    /// Top-level names that no public host has.
    private static let innerNames: [StaticString] = [
        "internal", "local", "localdomain", "localhost", "lan", "corp", "intranet", "intra", "svc",
    ]

    private static let longestWord = 2048
    private static let longestHost = 253
    private static let longestMailbox = 64
    /// How far before a number its meaning may stand.
    private static let ownerDistance = 32

    private let text: UnsafeRawBufferPointer
    private let hosts: [[UInt8]]
    private let hasAt: Bool

    init(_ text: UnsafeRawBufferPointer, hosts: [String]) {
        self.text = text
        self.hosts = hosts.map { Array($0.lowercased().utf8) }
        hasAt = text.contains(UInt8(ascii: "@"))
    }

    /// Whether a word may begin here.
    func isStart(_ at: Int) -> Bool {
        let byte = text[at]
        guard Self.isWord(byte) || byte == UInt8(ascii: ":") else { return false }
        return at == 0 || !Self.isWord(text[at - 1])
    }

    /// What leaks from here on, if anything does.
    func leak(at: Int) -> Range<Int>? {
        url(at) ?? mailbox(at) ?? arn(at) ?? prefixed(at) ?? secretValue(at) ?? ownersNumber(at) ?? address(at)
            ?? host(at)
    }

    // MARK: Words with a known beginning

    private func prefixed(_ at: Int) -> Range<Int>? {
        for prefix in Self.prefixes where has(prefix.text, at) {
            let start = at + prefix.text.utf8CodeUnitCount
            let end = trimmed(
                start..<run(from: start, limit: Self.longestWord) {
                    Self.isWord($0) || Self.isIDPunctuation($0) || (prefix.hasDots && $0 == UInt8(ascii: "."))
                }
            )
            guard end - start >= prefix.minimum else { continue }
            if prefix.isRandom {
                let first = run(from: start, limit: end - start, while: Self.isWord)
                let hasDigit = text[start..<first].contains(where: Self.isDigit)
                guard first - start >= prefix.minimum, hasDigit || first - start >= 16 else { continue }
            }
            return (prefix.isKept ? start : at)..<end
        }
        return nil
    }

    /// `key=…`, `token: …`, `Bearer …`: the value.
    private func secretValue(_ at: Int) -> Range<Int>? {
        let nameEnd = run(from: at, limit: 24) { Self.isWord($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
        guard nameEnd < text.count, Self.secretNames.contains(where: { equalsIgnoringCase($0, at..<nameEnd) }) else {
            return nil
        }
        var start = nameEnd
        var isAssigned = false
        while start < text.count, start - nameEnd < 4 {
            switch text[start] {
            case UInt8(ascii: "="): isAssigned = true
            case UInt8(ascii: ":"), UInt8(ascii: " "), UInt8(ascii: "'"), UInt8(ascii: "\""): break
            default:
                let end = run(from: start, limit: Self.longestWord) {
                    Self.isWord($0) || Self.isIDPunctuation($0) || Self.isBase64Punctuation($0)
                }
                // "key: which was given" is no secret.
                let isSecret =
                    isAssigned ? end - start >= 6 : end - start >= 16 && text[start..<end].contains(where: Self.isDigit)
                return isSecret ? start..<end : nil
            }
            start += 1
        }
        return nil
    }

    /// `arn:aws:iam::123456789012:role/name`.
    private func arn(_ at: Int) -> Range<Int>? {
        guard has("arn:", at) else { return nil }
        return at..<trimmed(at..<run(from: at, limit: Self.longestWord) { !Self.isSeparator($0) })
    }

    // MARK: Numbers

    /// AWS' account numbers have twelve digits; others, and UUIDs, follow a word that says whose they are.
    private func ownersNumber(_ at: Int) -> Range<Int>? {
        let end = run(from: at, limit: 40) { Self.isHexDigit($0) || $0 == UInt8(ascii: "-") }
        guard end - at >= 9, end == text.count || !Self.isWord(text[end]) else { return nil }
        let isNumber = text[at..<end].allSatisfy(Self.isDigit)
        if isNumber, end - at == 12, !isUUID(at - 24..<end) { return at..<end }
        guard isNumber || isUUID(at..<end) else { return nil }
        var isOwners = false
        for start in max(0, at - Self.ownerDistance)..<at where start == 0 || !Self.isWord(text[start - 1]) {
            if Self.owners.contains(where: { hasIgnoringCase($0, start) }) { isOwners = true }
            if hasIgnoringCase("request", start) { isOwners = false }
        }
        return isOwners ? at..<end : nil
    }

    private func isUUID(_ range: Range<Int>) -> Bool {
        guard range.count == 36, range.lowerBound >= 0 else { return false }
        return text[range].enumerated().allSatisfy { place, byte in
            [8, 13, 18, 23].contains(place) == (byte == UInt8(ascii: "-"))
        }
    }

    // MARK: Addresses

    private func mailbox(_ at: Int) -> Range<Int>? {
        guard hasAt else { return nil }
        let name = run(from: at, limit: Self.longestMailbox) { Self.isWord($0) || Self.isMailboxPunctuation($0) }
        guard name > at, name < text.count, text[name] == UInt8(ascii: "@") else { return nil }
        let end = trimmed(name + 1..<run(from: name + 1, limit: Self.longestHost, while: Self.isHost))
        let domain = text[min(name + 1, end)..<end]
        guard let dot = domain.lastIndex(of: UInt8(ascii: ".")), dot > domain.startIndex, end - dot > 2,
            text[(dot + 1)..<end].allSatisfy(Self.isLetter)
        else { return nil }
        return at..<end
    }

    /// URLs with user info, to hosts inside, or to one that is to be hidden. Others are looked through for what is in them.
    private func url(_ at: Int) -> Range<Int>? {
        let scheme = run(from: at, limit: 16) { Self.isWord($0) || $0 == UInt8(ascii: "+") }
        guard scheme > at, has("://", scheme) else { return nil }
        let start = scheme + 3
        let end = trimmed(at..<run(from: at, limit: Self.longestWord) { !Self.isSeparator($0) || Self.isBracket($0) })
        guard end > start else { return nil }
        let authorityEnd = run(from: start, limit: end - start) {
            $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#")
        }
        guard text[start] != UInt8(ascii: "["), !text[start..<authorityEnd].contains(UInt8(ascii: "@")) else {
            return at..<end
        }
        let hostEnd = run(from: start, limit: authorityEnd - start, while: Self.isHost)
        let name = start..<hostEnd
        let isInner = !text[name].contains(UInt8(ascii: ".")) || isAddress(name) || isInner(name) || isHidden(name)
        return isInner ? at..<end : nil
    }

    /// A host or an address outside a URL, with its port and path.
    private func host(_ at: Int) -> Range<Int>? {
        guard at == 0 || !Self.isHost(text[at - 1]) else { return nil }
        let end = trimmed(at..<run(from: at, limit: Self.longestHost, while: Self.isHost))
        guard end > at, end == text.count || !Self.isWord(text[end]) else { return nil }
        guard isAddress(at..<end) || isInner(at..<end) || isHidden(at..<end) else { return nil }
        return at..<withPortAndPath(end)
    }

    private func withPortAndPath(_ end: Int) -> Int {
        guard end < text.count, text[end] == UInt8(ascii: ":") || text[end] == UInt8(ascii: "/") else { return end }
        return trimmed(end..<run(from: end, limit: Self.longestWord) { !Self.isSeparator($0) })
    }

    /// IPv6: groups of hexadecimal digits, all eight or a gap.
    private func address(_ at: Int) -> Range<Int>? {
        let end = trimmed(
            at..<run(from: at, limit: 46) { Self.isHexDigit($0) || $0 == UInt8(ascii: ":") || $0 == 0x2E }
        )
        guard end - at >= 3, end == text.count || !Self.isWord(text[end]) else { return nil }
        var colons = 0
        var hasGap = false
        for place in at..<end where text[place] == UInt8(ascii: ":") {
            colons += 1
            if place + 1 < end, text[place + 1] == UInt8(ascii: ":") { hasGap = true }
        }
        guard hasGap ? colons >= 2 : colons == 7, text[at..<end].contains(where: Self.isHexDigit) else { return nil }
        return at..<end
    }

    /// IPv4.
    private func isAddress(_ range: Range<Int>) -> Bool {
        let parts = text[range].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy { part in
                (1...3).contains(part.count) && part.allSatisfy(Self.isDigit)
                    && part.reduce(0) { $0 * 10 + Int($1 - 0x30) } <= 255
            }
    }

    private func isInner(_ range: Range<Int>) -> Bool {
        let labels = text[range].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard let last = labels.last else { return false }
        if labels.count == 1 { return equalsIgnoringCase("localhost", range) }
        // `tools.0.input_schema.properties.local` is a place in a request, not a host.
        let isHost = labels.allSatisfy { label in
            !label.isEmpty && !label.allSatisfy(Self.isDigit) && !label.contains(UInt8(ascii: "_"))
        }
        return isHost && Self.innerNames.contains { equalsIgnoringCase($0, last.startIndex..<last.endIndex) }
    }

    private func isHidden(_ range: Range<Int>) -> Bool {
        hosts.contains { host in
            host.count == range.count && zip(host, text[range]).allSatisfy { $0 == Self.lowercased($1) }
        }
    }

    // MARK: Reading

    private func run(from start: Int, limit: Int, while isPart: (UInt8) -> Bool) -> Int {
        let last = min(text.count, start + max(0, limit))
        var end = start
        while end < last, isPart(text[end]) { end += 1 }
        return end
    }

    /// The end without the punctuation that closes a sentence.
    private func trimmed(_ range: Range<Int>) -> Int {
        var end = range.upperBound
        while end > range.lowerBound, Self.isSentenceEnd(text[end - 1]) { end -= 1 }
        return end
    }

    private func has(_ word: StaticString, _ at: Int) -> Bool {
        guard at + word.utf8CodeUnitCount <= text.count else { return false }
        return (0..<word.utf8CodeUnitCount).allSatisfy { text[at + $0] == word.utf8Start[$0] }
    }

    private func hasIgnoringCase(_ word: StaticString, _ at: Int) -> Bool {
        guard at + word.utf8CodeUnitCount <= text.count else { return false }
        return (0..<word.utf8CodeUnitCount).allSatisfy { Self.lowercased(text[at + $0]) == word.utf8Start[$0] }
    }

    private func equalsIgnoringCase(_ word: StaticString, _ range: Range<Int>) -> Bool {
        range.count == word.utf8CodeUnitCount && hasIgnoringCase(word, range.lowerBound)
    }
}

/// Kinds of ASCII characters.
extension LeakPatterns {
    private static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }
    private static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 < 26 }
    private static func isWord(_ byte: UInt8) -> Bool { isDigit(byte) || isLetter(byte) }
    private static func isHexDigit(_ byte: UInt8) -> Bool { isDigit(byte) || (byte | 0x20) &- 0x61 < 6 }
    private static func lowercased(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

    private static func isHost(_ byte: UInt8) -> Bool {
        isWord(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
    }

    /// Providers show keys with their middle starred out.
    private static func isIDPunctuation(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "*"): true
        default: false
        }
    }

    private static func isBase64Punctuation(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="), UInt8(ascii: "."), UInt8(ascii: "%"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    private static func isMailboxPunctuation(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "%"), UInt8(ascii: "+"), UInt8(ascii: "-"),
            UInt8(ascii: "*"):
            true
        default: false
        }
    }

    private static func isSentenceEnd(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "!"), UInt8(ascii: "?"), UInt8(ascii: "-"): true
        default: false
        }
    }

    private static func isBracket(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "[") || byte == UInt8(ascii: "]") }

    private static func isSeparator(_ byte: UInt8) -> Bool {
        switch byte {
        case 0...0x20, UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "`"), UInt8(ascii: "<"), UInt8(ascii: ">"),
            UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "{"),
            UInt8(ascii: "}"), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "|"), UInt8(ascii: "\\"), 0x7f...:
            true
        default: false
        }
    }
}
