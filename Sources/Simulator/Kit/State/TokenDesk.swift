/// The tokens that were issued, and what became of them.
package struct TokenDesk: Sendable {
    private static let mostTokens = 10_000

    /// A grant of `/authorize` that waits for its exchange.
    struct Code: Sendable {
        var challenge: String
        var redirect: String
        var client: String
    }

    /// Seconds that access tokens last; nil is the platform's own time.
    package var lifetime: Int64?
    /// Whether a refresh token is replaced when it is used; nil is the platform's own way.
    package var rotates: Bool?
    /// Whether Google accounts that sign in from now on have no project until they were asked to be onboarded twice.
    package var lacksProjects = false
    /// Access tokens of accounts without a project, and how often each was asked to be onboarded.
    private var homeless: [String: Int] = [:]
    /// Access tokens that are over, issued here or not.
    package var expired: Set<String> = []

    /// Ends of access tokens, in microseconds since 1970.
    private(set) var ends: [String: Int64] = [:]
    private var order: [String] = []
    /// Refresh tokens that were replaced.
    private var used: Set<String> = []
    private var codes: [String: Code] = [:]
    private var lastNumber: UInt64 = 0

    package init() {}

    /// Text that no other token of this run has, nor any of another run.
    mutating func unique(now: Int64) -> String {
        lastNumber &+= 1
        var digest = Digest()
        withUnsafeBytes(of: (lastNumber, now)) { digest.update($0) }
        return "sim\(digest.hex)"
    }

    mutating func issue(_ access: String, until end: Int64) {
        if ends.updateValue(end, forKey: access) == nil { order.append(access) }
        guard order.count > Self.mostTokens else { return }
        for old in order.prefix(Self.mostTokens / 2) { ends[old] = nil }
        order.removeFirst(Self.mostTokens / 2)
    }

    func isExpired(_ access: String, now: Int64) -> Bool {
        expired.contains(access) || ends[access].map { $0 <= now } ?? false
    }

    // MARK: Projects

    mutating func leaveWithoutProject(_ access: String) {
        if homeless.count >= Self.mostTokens { homeless = [:] }
        homeless[access] = 0
    }

    func hasProject(_ access: String) -> Bool { homeless[access] == nil }

    /// Returns whether the account has a project now.
    mutating func onboard(_ access: String) -> Bool {
        guard let asked = homeless[access] else { return true }
        homeless[access] = asked == 0 ? 1 : nil
        return asked > 0
    }

    // MARK: Refresh tokens

    func isUsed(_ refresh: String) -> Bool { used.contains(refresh) }

    mutating func use(_ refresh: String) {
        if used.count >= Self.mostTokens { used = [] }
        used.insert(refresh)
    }

    // MARK: Codes

    mutating func store(_ code: Code, as text: String) {
        if codes.count >= Self.mostTokens { codes = [:] }
        codes[text] = code
    }

    /// A code is good once.
    mutating func take(_ text: String) -> Code? { codes.removeValue(forKey: text) }
}
