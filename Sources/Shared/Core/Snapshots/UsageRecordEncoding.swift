import Bytes
package import Domain

extension UsageRecord {
    /// No text of a record is longer, in bytes; what is longer when a record is written is cut.
    package static let textLimit = 1024
    package static let requestIDLimit = 128
    /// No count of a record is higher; what is higher when a record is written is lowered to it.
    package static let countLimit: Int64 = 1_000_000_000_000

    /// The record as JSON.
    ///
    /// Written at the end of every call, so straight into its bytes. A record that was written can always be read
    /// back: what a caller or upstream made too long or too high is bounded here, because a record that settlement
    /// refuses would be a call that nobody pays for.
    package var encoded: [UInt8] {
        let names =
            Self.size(of: requestID) + Self.size(of: model) + Self.size(of: upstreamModel) + Self.size(of: ip)
            + Self.size(of: userAgent)
        // An escape takes six bytes; everything else is below 1,800 bytes even with every number at its longest.
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1800 + names * 6) { out in
            var json = ByteCursor(out)
            json.member("{\"id\":", text: requestID)
            json.member(",\"phase\":", word: phase.rawValue)
            json.member(",\"created_at\":", createdAt.microseconds)
            json.member(",\"user_id\":", user.raw)
            json.member(",\"key_id\":", key.raw)
            json.member(",\"group_id\":", group.raw)
            json.member(",\"account_id\":", account.raw)
            json.member(",\"model\":", text: model)
            json.member(",\"upstream_model\":", text: upstreamModel)
            json.member(",\"dialect\":", word: dialect.rawValue)
            json.member(",\"stream\":", isStream)
            json.member(",\"input\":", count: usage.input)
            json.member(",\"output\":", count: usage.output)
            json.member(",\"cache_write_5m\":", count: usage.cacheWrite5m)
            json.member(",\"cache_write_1h\":", count: usage.cacheWrite1h)
            json.member(",\"cache_read\":", count: usage.cacheRead)
            json.member(",\"web_searches\":", count: usage.webSearches)
            json.member(",\"image_input\":", countUnlessZero: usage.inputMedia.image)
            json.member(",\"audio_input\":", countUnlessZero: usage.inputMedia.audio)
            json.member(",\"image_output\":", countUnlessZero: usage.outputMedia.image)
            json.member(",\"audio_output\":", countUnlessZero: usage.outputMedia.audio)
            if usage.tier != .standard { json.member(",\"service_tier\":", word: usage.tier.rawValue) }
            json.member(",\"cost\":", cost.raw)
            json.member(",\"account_cost\":", accountCost.raw)
            json.member(",\"multiplier\":", multiplier.raw)
            json.member(",\"account_multiplier\":", accountMultiplier.raw)
            json.member(",\"price_version\":", priceVersion)
            json.member(",\"duration_ms\":", count: durationMilliseconds)
            if let firstTokenMilliseconds { json.member(",\"first_token_ms\":", count: firstTokenMilliseconds) }
            json.member(",\"status\":", Int64(status))
            json.member(",\"ip\":", text: ip)
            json.member(",\"user_agent\":", text: userAgent)
            json.member(",\"estimated\":", isEstimated)
            json.member(",\"cache_ttl_overridden\":", isCacheTTLOverridden)
            json.member(",\"end\":", word: end.rawValue)
            json.write(limits)
            json.write(UInt8(ascii: "}"))
            // No longer than it is: a worker keeps many of them for a while.
            return Array(UnsafeBufferPointer(rebasing: out[..<json.count]))
        }
    }

    /// Bytes of a text as far as they are written.
    private static func size(of text: String) -> Int { min(text.utf8.count, textLimit) }
}

extension ByteCursor {
    fileprivate mutating func write(_ limits: FrozenLimits) {
        if limits.hasQuota { member(",\"quota\":", true) }
        if let policy = limits.policy {
            member(",\"policy_version\":", policy.version)
            member(",\"policy_epoch\":", policy.resetEpoch)
            member(",\"policy_window\":", policy.window)
        }
        if let subscription = limits.subscription {
            member(",\"subscription_id\":", subscription.id.raw)
            member(",\"subscription_day\":", subscription.day)
            member(",\"subscription_week\":", subscription.week)
            member(",\"subscription_month\":", subscription.month)
        }
    }

    fileprivate mutating func member(_ name: StaticString, _ value: Int64) {
        write(name)
        write(decimal: value)
    }

    fileprivate mutating func member(_ name: StaticString, count value: Int64) {
        member(name, min(max(value, 0), UsageRecord.countLimit))
    }

    /// Few calls have such tokens, and records from before they were counted have no such member.
    fileprivate mutating func member(_ name: StaticString, countUnlessZero value: Int64) {
        if value > 0 { member(name, count: value) }
    }

    fileprivate mutating func member(_ name: StaticString, _ value: Bool) {
        write(name)
        write(value ? "true" : "false")
    }

    /// A word of ours, which has nothing to escape.
    fileprivate mutating func member(_ name: StaticString, word: String) {
        write(name)
        write(UInt8(ascii: "\""))
        write(word)
        write(UInt8(ascii: "\""))
    }

    fileprivate mutating func member(_ name: StaticString, text value: String) {
        write(name)
        write(UInt8(ascii: "\""))
        let isWritten: Void? = value.utf8.withContiguousStorageIfAvailable { write(cutting: $0) }
        if isWritten == nil {
            var value = value
            value.withUTF8 { write(cutting: $0) }
        }
        write(UInt8(ascii: "\""))
    }

    private mutating func write(cutting text: UnsafeBufferPointer<UInt8>) {
        // Postgres has no text with a null character.
        let kept = UnsafeBufferPointer(rebasing: text[..<Self.cut(text)])
        write(escaping: UnsafeRawBufferPointer(kept), omitsNull: true)
    }

    /// Where to cut so that no character is torn.
    private static func cut(_ text: UnsafeBufferPointer<UInt8>) -> Int {
        guard text.count > UsageRecord.textLimit else { return text.count }
        var end = UsageRecord.textLimit
        while end > 0, text[end] & 0xC0 == 0x80 { end -= 1 }
        return end
    }
}
