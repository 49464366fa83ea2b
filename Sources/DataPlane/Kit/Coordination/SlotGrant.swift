package import Domain
package import Redis

/// A slot that a call got, and what it was told of the account.
package struct SlotGrant: Sendable {
    /// How the call was let in.
    package enum Entry: String, Sendable {
        case plain
        /// To try out an account whose pause has just ended.
        case halfOpen = "half_open"
        /// To try out an account whose pause is a guess, because all others are paused as well.
        case onGuard = "guard"
    }

    /// On Redis' clock.
    package var grantedAt: Timestamp
    package var entry: Entry
    /// Nil for an account that has none: nothing that a success could disprove.
    package var marks: AccountMarks?
    /// Whether the plan is used up, and the call must say that it is paid with AI credits.
    package var usesCredits = false

    package init(grantedAt: Timestamp, entry: Entry = .plain, marks: AccountMarks? = nil) {
        self.grantedAt = grantedAt
        self.entry = entry
        self.marks = marks
    }
}

/// What became of asking an account for a slot.
package enum SlotAnswer: Sendable {
    case granted(SlotGrant, inFlight: Int)
    /// - Parameter place: in the line of those who wait; nil where none was asked for.
    case full(inFlight: Int, place: WaitPlace?)
    case tooManyRequests(until: Timestamp)
    case halfOpen
    case flagged(AccountMarks)
    case quotaSpent(AccountQuota.Kind, until: Timestamp?)
    /// Redis does not know what has been spent.
    case quotaForgotten

    static func read(_ answer: borrowing RedisReply) -> Result<SlotAnswer, RedisError> {
        // Almost always nothing but how many calls there are, and when.
        if let (count, time) = answer.pair { return .success(SlotAnswer(count: count, time: time)) }
        switch answer.result {
        case .success(let value): return SlotAnswer(value).map { .success($0) } ?? .failure(.unexpectedAnswer)
        case .failure(let error): return .failure(error)
        }
    }

    private init(count: Int64, time: Int64) {
        let inFlight = Int(clamping: count.magnitude)
        self =
            count > 0
            ? .granted(SlotGrant(grantedAt: Timestamp(microseconds: time)), inFlight: inFlight)
            : .full(inFlight: inFlight, place: nil)
    }

    /// Nil when the answer is none of the script `acquire`.
    package init?(_ answer: RedisValue) {
        guard case .array(let parts) = answer, parts.count >= 2, case .integer(let count) = parts[0],
            case .integer(let time) = parts[1]
        else { return nil }
        let inFlight = Int(clamping: count.magnitude)
        let now = Timestamp(microseconds: time)
        guard parts.count > 2 else {
            self.init(count: count, time: time)
            return
        }
        guard let state = parts[2].text else { return nil }
        let rest = parts.count > 3 ? parts[3] : .null
        guard count > 0 else {
            switch state {
            case "line":
                guard let text = rest.text else { return nil }
                self = .full(inFlight: inFlight, place: WaitPlace(text))
            case "rate":
                guard let end = rest.integer else { return nil }
                self = .tooManyRequests(until: Timestamp(microseconds: end &* 1000))
            case "half_open": self = .halfOpen
            case "flagged": self = .flagged(AccountMarks(rest))
            case "quota":
                guard let kind = rest.text.flatMap({ AccountQuota.Kind(rawValue: $0) }), parts.count > 4,
                    let end = parts[4].integer
                else { return nil }
                self = .quotaSpent(kind, until: end > 0 ? Timestamp(microseconds: end &* 1000) : nil)
            case "quota_forgotten": self = .quotaForgotten
            default: return nil
            }
            return
        }
        let entry: SlotGrant.Entry = SlotGrant.Entry(rawValue: state) ?? .plain
        var grant = SlotGrant(grantedAt: now, entry: entry, marks: AccountMarks(rest))
        grant.usesCredits = parts.count > 4 && parts[4].text == "credits"
        self = .granted(grant, inFlight: inFlight)
    }
}

extension AccountMarks {
    /// From a hash as Redis answers it: names and values in turn.
    package init(_ hash: RedisValue) {
        let parts = hash.array ?? []
        var fields: [(name: String, value: String)] = []
        for index in stride(from: 0, to: parts.count - 1, by: 2) {
            guard let name = parts[index].text, let value = parts[index + 1].text else { continue }
            fields.append((name, value))
        }
        self.init(fields: fields)
    }
}
