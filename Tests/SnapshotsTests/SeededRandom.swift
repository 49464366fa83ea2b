import Domain
import Snapshots

/// Chance that repeats: SplitMix64 (Steele, Lea and Flood, 2014).
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    mutating func bool() -> Bool { .random(using: &self) }
    mutating func int(_ range: ClosedRange<Int64>) -> Int64 { .random(in: range, using: &self) }
    mutating func some<Value>(_ make: (inout SeededRandom) -> Value) -> Value? { bool() ? make(&self) : nil }
    mutating func list<Value>(_ make: (inout SeededRandom) -> Value) -> [Value] {
        (0..<int(0...4)).map { _ in make(&self) }
    }

    /// Text with what breaks careless writers: quotes, control characters, several scripts, characters of four bytes.
    mutating func text(_ length: ClosedRange<Int64> = 0...24) -> String {
        let alphabet = Array("aZ09 \"\\/\n\r\t\u{1}\u{1f}\u{7f}é\u{301}ß中文ملف🙂👩🏽‍🚀\u{2028}\u{feff}\u{fffd}<>&{}[]:,")
        return String((0..<int(length)).compactMap { _ in alphabet.randomElement(using: &self) })
    }

    mutating func id<ID: Identifier>() -> ID { ID(int(1...Int64.max)) }
    mutating func time() -> Timestamp { Timestamp(microseconds: int(0...4_102_444_800_000_000)) }
    mutating func map() -> [String: String] {
        Dictionary(list { ($0.text(), $0.text()) }, uniquingKeysWith: { first, _ in first })
    }
}

extension SeededRandom {
    mutating func config() -> ConfigSnapshot {
        var settings = GatewaySettings()
        for field in GatewaySettings.fields { _ = settings.set(field.name, int(field.range)) }
        return ConfigSnapshot(
            version: SnapshotVersion(epoch: int(1...8191), revision: int(0...Int64.max)),
            publishedAt: time(),
            groups: list { $0.group() },
            accounts: list { $0.account() },
            prices: list { $0.price() },
            settings: settings,
            cooldowns: CooldownSettings(
                overload: some { .seconds(60 * $0.int(1...120)) },
                rateLimit: some { .seconds($0.int(1...7200)) },
                unauthorized: settings.unauthorizedPause
            )
        )
    }

    mutating func group() -> GroupSnapshot {
        GroupSnapshot(
            id: id(),
            revision: int(0...Int64.max),
            name: text(),
            platform: Platform(rawValue: text()),
            isActive: bool(),
            multiplier: Multiplier(int(0...10_000_000)),
            isClaudeCodeOnly: bool(),
            fallbackGroup: some { $0.id() },
            isSubscription: bool(),
            modelAllowlist: list { $0.text() }
        )
    }

    mutating func account() -> AccountSnapshot {
        AccountSnapshot(
            id: id(),
            name: text(),
            platform: .anthropic,
            type: AccountType.allCases.randomElement(using: &self) ?? .apikey,
            groups: list { $0.id() },
            isActive: bool(),
            isSchedulable: bool(),
            expiresAt: some { $0.time() },
            priority: Int(int(-100...100)),
            concurrency: Int(int(0...1000)),
            rpm: Int(int(0...1000)),
            multiplier: Multiplier(int(0...10_000_000)),
            modelMapping: map(),
            headerOverrides: map(),
            plainCredentials: map(),
            upstreamProtocol: bool() ? .h2 : .auto,
            proxy: some { $0.proxy() },
            rules: AccountRules(
                isPoolMode: bool(),
                poolRetryCount: Int(int(0...10)),
                customErrorCodes: list { Int($0.int(100...599)) },
                pauseRules: list { random in
                    PauseRule(
                        status: random.int(100...599),
                        keywords: random.list { $0.text() },
                        minutes: random.int(1...10_080)
                    )
                }
            ),
            allowsOverages: bool(),
            quota: AccountQuota(
                daily: some { NanoUSD($0.int(1...NanoUSD.maximum.raw)) },
                weekly: some { NanoUSD($0.int(1...NanoUSD.maximum.raw)) },
                total: some { NanoUSD($0.int(1...NanoUSD.maximum.raw)) }
            )
        )
    }

    mutating func proxy() -> ProxySnapshot {
        ProxySnapshot(
            id: id(),
            scheme: "socks5",
            host: text(),
            port: Int(int(1...65_535)),
            username: some { $0.text() },
            sealedPassword: some { $0.text() }
        )
    }

    mutating func price() -> ModelPrice {
        func amount(_ random: inout SeededRandom) -> PricePerMillion {
            PricePerMillion(random.int(0...1_000_000_000_000_000))
        }
        return ModelPrice(
            model: text(),
            match: bool() ? .exact : .prefix,
            revision: int(0...Int64.max),
            input: amount(&self),
            output: amount(&self),
            cacheWrite5m: amount(&self),
            cacheWrite1h: amount(&self),
            cacheRead: amount(&self),
            inputMedia: .init(image: some { amount(&$0) }, audio: some { amount(&$0) }),
            outputMedia: .init(image: some { amount(&$0) }, audio: some { amount(&$0) }),
            webSearch: NanoUSD(int(0...NanoUSD.maximum.raw)),
            request: bool() ? .zero : NanoUSD(int(0...NanoUSD.maximum.raw)),
            longContexts: list { ModelPrice.LongContext(above: $0.int(0...Int64.max), $0.rates()) },
            tiers: bool() ? [:] : Dictionary(uniqueKeysWithValues: ServiceTier.allCases.map { ($0, rates()) }),
            maximumInput: some { $0.int(1...Int64.max) },
            maximumOutput: some { $0.int(1...Int64.max) }
        )
    }

    mutating func rates() -> ModelPrice.Rates {
        func amount(_ random: inout SeededRandom) -> PricePerMillion {
            PricePerMillion(random.int(0...1_000_000_000_000_000))
        }
        return ModelPrice.Rates(
            input: some { amount(&$0) },
            output: some { amount(&$0) },
            cacheWrite5m: some { amount(&$0) },
            cacheWrite1h: some { amount(&$0) },
            cacheRead: some { amount(&$0) }
        )
    }

    mutating func key() -> KeySnapshot {
        KeySnapshot(
            id: id(),
            hash: text(1...64),
            revision: int(0...Int64.max),
            user: id(),
            userRevision: int(0...Int64.max),
            group: id(),
            isActive: bool(),
            isUserActive: bool(),
            expiresAt: some { $0.time() },
            ipWhitelist: list { $0.text() },
            ipBlacklist: list { $0.text() },
            concurrency: Int(int(0...1000)),
            userConcurrency: Int(int(0...1000)),
            rpm: Int(int(0...1000)),
            tpm: Int(int(0...1_000_000_000)),
            userRPM: Int(int(0...1000)),
            quota: some { NanoUSD($0.int(0...NanoUSD.maximum.raw)) }
        )
    }

    mutating func credentials() -> CredentialEntry {
        CredentialEntry(
            account: id(),
            version: int(0...Int64.max),
            secretsVersion: some { $0.int(0...Int64.max) },
            expiresAt: some { Timestamp(microseconds: $0.int(0...4_000_000_000_000_000)) },
            sealed: text()
        )
    }

    mutating func record() -> UsageRecord {
        let requestID = String(
            (0..<int(1...128)).compactMap { _ in
                "abcXYZ019_-".randomElement(using: &self)
            }
        )
        var record = UsageRecord(
            requestID: requestID,
            createdAt: time(),
            user: id(),
            key: id(),
            group: id(),
            account: id(),
            model: text(),
            upstreamModel: text(),
            dialect: Dialect.allCases.randomElement(using: &self) ?? .gemini,
            isStream: bool(),
            status: Int(int(0...999))
        )
        func count(_ random: inout SeededRandom) -> Int64 { random.int(0...UsageRecord.countLimit) }
        record.phase = bool() ? .swept : .final
        record.usage = TokenUsage(
            input: count(&self),
            output: count(&self),
            cacheWrite5m: count(&self),
            cacheWrite1h: count(&self),
            cacheRead: count(&self),
            webSearches: count(&self),
            inputMedia: .init(image: bool() ? 0 : count(&self), audio: count(&self)),
            outputMedia: .init(image: count(&self), audio: bool() ? 0 : count(&self))
        )
        record.cost = NanoUSD(int(0...NanoUSD.maximum.raw))
        record.accountCost = NanoUSD(int(0...NanoUSD.maximum.raw))
        record.multiplier = Multiplier(int(0...10_000_000))
        record.accountMultiplier = Multiplier(int(0...10_000_000))
        record.priceVersion = int(0...Int64.max)
        record.durationMilliseconds = count(&self)
        record.firstTokenMilliseconds = some { count(&$0) }
        record.ip = text()
        record.userAgent = text()
        record.isEstimated = bool()
        record.isCacheTTLOverridden = bool()
        record.end = UsageEnd.allCases.randomElement(using: &self) ?? .complete
        return record
    }
}
