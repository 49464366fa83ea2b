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
        let names = [requestID, model, upstreamModel, ip, userAgent].reduce(0) { bytes, text in
            bytes + min(text.utf8.count, Self.textLimit)
        }
        // An escape takes six bytes; everything else is below 1,800 bytes even with every number at its longest.
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1800 + names * 6) { out in
            var json = ByteCursor(out)
            json.member("{\"id\":", text: requestID)
            json.member(",\"phase\":", text: phase.rawValue)
            json.member(",\"created_at\":", createdAt.microseconds)
            json.member(",\"user_id\":", user.raw)
            json.member(",\"key_id\":", key.raw)
            json.member(",\"group_id\":", group.raw)
            json.member(",\"account_id\":", account.raw)
            json.member(",\"model\":", text: model)
            json.member(",\"upstream_model\":", text: upstreamModel)
            json.member(",\"dialect\":", text: dialect.rawValue)
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
            if usage.tier != .standard { json.member(",\"service_tier\":", text: usage.tier.rawValue) }
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
            json.member(",\"end\":", text: end.rawValue)
            json.write(limits)
            json.write(UInt8(ascii: "}"))
            // No longer than it is: a worker keeps many of them for a while.
            return Array(UnsafeBufferPointer(rebasing: out[..<json.count]))
        }
    }
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

    fileprivate mutating func member(_ name: StaticString, text value: String) {
        write(name)
        write(UInt8(ascii: "\""))
        var value = value
        value.withUTF8 { text in
            // Postgres has no text with a null character.
            let text = UnsafeBufferPointer(rebasing: text[..<Self.cut(text)])
            guard text.contains(0) else { return write(escaping: UnsafeRawBufferPointer(text)) }
            for part in text.split(separator: 0) {
                write(escaping: UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: part)))
            }
        }
        write(UInt8(ascii: "\""))
    }

    /// Where to cut so that no character is torn.
    private static func cut(_ text: UnsafeBufferPointer<UInt8>) -> Int {
        guard text.count > UsageRecord.textLimit else { return text.count }
        var end = UsageRecord.textLimit
        while end > 0, text[end] & 0xC0 == 0x80 { end -= 1 }
        return end
    }
}
