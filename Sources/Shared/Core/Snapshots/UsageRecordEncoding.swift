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
        // An escape takes six bytes; everything else is below 1,200 bytes even with every number at its longest.
        return [UInt8](unsafeUninitializedCapacity: 1200 + names * 6) { out, count in
            var json = RecordWriter(out)
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
            json.close()
            count = json.count
        }
    }
}

/// Writes into memory that is large enough by construction.
private struct RecordWriter {
    private let out: UnsafeMutableBufferPointer<UInt8>
    private(set) var count = 0

    init(_ out: UnsafeMutableBufferPointer<UInt8>) { self.out = out }

    mutating func member(_ name: StaticString, _ value: Int64) {
        append(name)
        if value < 0 { append(UInt8(ascii: "-")) }
        var rest = value.magnitude
        let first = count
        repeat {
            append(UInt8(truncatingIfNeeded: 0x30 + rest % 10))
            rest /= 10
        } while rest > 0
        out[first..<count].reverse()
    }

    mutating func member(_ name: StaticString, count value: Int64) {
        member(name, min(max(value, 0), UsageRecord.countLimit))
    }

    mutating func member(_ name: StaticString, _ value: Bool) {
        append(name)
        append(value ? "true" : "false")
    }

    mutating func member(_ name: StaticString, text value: String) {
        append(name)
        append(UInt8(ascii: "\""))
        var value = value
        value.withUTF8 { text in
            for byte in text[..<Self.cut(text)] {
                switch byte {
                case 0: continue
                case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                    append(UInt8(ascii: "\\"))
                    append(byte)
                case ..<0x20:
                    append("\\u00")
                    append(0x30 + byte >> 4)
                    append(byte & 15 < 10 ? 0x30 + byte & 15 : 0x57 + byte & 15)
                default:
                    append(byte)
                }
            }
        }
        append(UInt8(ascii: "\""))
    }

    mutating func close() { append(UInt8(ascii: "}")) }

    /// Where to cut so that no character is torn.
    private static func cut(_ text: UnsafeBufferPointer<UInt8>) -> Int {
        guard text.count > UsageRecord.textLimit else { return text.count }
        var end = UsageRecord.textLimit
        while end > 0, text[end] & 0xC0 == 0x80 { end -= 1 }
        return end
    }

    private mutating func append(_ text: StaticString) {
        let bytes = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        _ = UnsafeMutableBufferPointer(rebasing: out[count...]).update(fromContentsOf: bytes)
        count += bytes.count
    }

    private mutating func append(_ byte: UInt8) {
        out[count] = byte
        count += 1
    }
}
