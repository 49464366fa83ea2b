package import Domain
package import Formats

/// Reads usage records. Keep one for each loop or thread.
package final class UsageRecordDecoder {
    private let parser = JSONParser(maximumDepth: 8, maximumStructurals: 1_000_000)

    package init() {}

    /// - Throws: `SnapshotError`.
    package func decode(_ bytes: [UInt8]) throws(SnapshotError) -> UsageRecord {
        let result: Result<UsageRecord, SnapshotError>? = try? parser.parse(bytes) { document in
            Result { () throws(SnapshotError) in try UsageRecord(document.root) }
        }
        guard let result else { throw .notJSON }
        return try result.get()
    }
}

extension UsageRecord {
    /// Strict, because bills are made from it: every field there, of its type, in its range.
    ///
    /// - Throws: `SnapshotError`.
    package init(_ value: JSONValue) throws(SnapshotError) {
        let fields = try FieldReader(value)
        func count(_ name: StaticString) throws(SnapshotError) -> Int64 {
            try fields.int(name, in: 0...Self.countLimit)
        }
        func media(_ image: StaticString, _ audio: StaticString) throws(SnapshotError) -> TokenUsage.Media {
            TokenUsage.Media(
                image: try fields.optionalInt(image, in: 0...Self.countLimit) ?? 0,
                audio: try fields.optionalInt(audio, in: 0...Self.countLimit) ?? 0
            )
        }
        func amount(_ name: StaticString) throws(SnapshotError) -> NanoUSD {
            NanoUSD(try fields.int(name, in: 0...NanoUSD.maximum.raw))
        }
        func text(_ name: StaticString) throws(SnapshotError) -> String {
            try fields.text(name, limit: Self.textLimit)
        }
        let requestID = try fields.text("id", limit: Self.requestIDLimit)
        guard Self.isRequestID(requestID) else { throw .invalid("id") }
        self.init(
            requestID: requestID,
            createdAt: try fields.time("created_at"),
            user: try fields.id("user_id"),
            key: try fields.id("key_id"),
            group: try fields.id("group_id"),
            account: try fields.id("account_id"),
            model: try text("model"),
            upstreamModel: try text("upstream_model"),
            dialect: try fields.choice("dialect"),
            isStream: try fields.bool("stream"),
            status: Int(try fields.int("status", in: 0...999))
        )
        phase = try fields.choice("phase")
        usage = TokenUsage(
            input: try count("input"),
            output: try count("output"),
            cacheWrite5m: try count("cache_write_5m"),
            cacheWrite1h: try count("cache_write_1h"),
            cacheRead: try count("cache_read"),
            webSearches: try count("web_searches"),
            inputMedia: try media("image_input", "audio_input"),
            outputMedia: try media("image_output", "audio_output")
        )
        if let tier = try fields.optionalText("service_tier") {
            // One that this build does not know is no reason to lose the record, whose cost is right.
            usage.tier = ServiceTier(rawValue: tier) ?? .standard
        }
        cost = try amount("cost")
        accountCost = try amount("account_cost")
        multiplier = try fields.multiplier("multiplier")
        accountMultiplier = try fields.multiplier("account_multiplier")
        priceVersion = try fields.int("price_version", in: 0...Int64.max)
        durationMilliseconds = try count("duration_ms")
        firstTokenMilliseconds = try fields.optionalInt("first_token_ms", in: 0...Self.countLimit)
        ip = try text("ip")
        userAgent = try text("user_agent")
        isEstimated = try fields.bool("estimated")
        isCacheTTLOverridden = try fields.bool("cache_ttl_overridden")
        end = try fields.choice("end")
        limits = try FrozenLimits(fields)
    }

    /// 1–128 letters, digits, `_` and `-`.
    package static func isRequestID(_ text: String) -> Bool {
        (1...requestIDLimit).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "_"), UInt8(ascii: "-"): true
                default: false
                }
            }
    }
}

extension FrozenLimits {
    /// Windows that begin outside the years 1 to 9999 are none.
    static let windows: ClosedRange<Int64> = -62_135_596_800_000...253_402_300_799_999

    fileprivate init(_ fields: FieldReader) throws(SnapshotError) {
        self.init(hasQuota: try fields.optionalBool("quota") ?? false)
        if let window = try fields.optionalInt("policy_window", in: Self.windows) {
            policy = Policy(
                version: try fields.int("policy_version", in: 0...Int64.max),
                resetEpoch: try fields.int("policy_epoch", in: 0...Int64.max),
                window: window
            )
        }
        if let id: SubscriptionID = try fields.optionalID("subscription_id") {
            subscription = Subscription(
                id: id,
                day: try fields.int("subscription_day", in: Self.windows),
                week: try fields.int("subscription_week", in: Self.windows),
                month: try fields.int("subscription_month", in: Self.windows)
            )
        }
    }
}
