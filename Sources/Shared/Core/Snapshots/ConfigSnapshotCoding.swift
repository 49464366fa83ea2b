import Domain
import Formats

extension ConfigSnapshot {
    func write(to json: inout JSONWriter, format: Int) {
        json.object {
            $0.member("format", format)
            $0.member("epoch", version.epoch)
            $0.member("revision", version.revision)
            $0.member("published_at", publishedAt.microseconds)
            $0.key("groups")
            $0.array { for group in groups { group.write(to: &$0) } }
            $0.key("accounts")
            $0.array { for account in accounts { account.write(to: &$0) } }
            $0.key("prices")
            $0.array { for price in prices { price.write(to: &$0) } }
            $0.key("settings")
            $0.object {
                for field in GatewaySettings.fields {
                    $0.key(field.name)
                    $0.int(settings[field.name])
                }
            }
            if !betaPolicy.rules.isEmpty {
                $0.key("beta_policy")
                $0.array { for rule in betaPolicy.rules { rule.write(to: &$0) } }
            }
            cooldowns.write(to: &$0)
            security.write(to: &$0)
        }
    }

    init(_ fields: FieldReader) throws(SnapshotError) {
        let settings = try GatewaySettings(fields.numbers("settings"))
        self.init(
            version: SnapshotVersion(
                epoch: try fields.int("epoch", in: 0...Int64.max),
                revision: try fields.int("revision", in: 0...Int64.max)
            ),
            publishedAt: try fields.time("published_at"),
            groups: try fields.objects("groups") { (group) throws(SnapshotError) in try GroupSnapshot(group) },
            accounts: try fields.objects("accounts") { (account) throws(SnapshotError) in
                try AccountSnapshot(account)
            },
            prices: try fields.objects("prices") { (price) throws(SnapshotError) in try ModelPrice(price) },
            settings: settings,
            betaPolicy: BetaPolicy(
                try fields.optionalObjects("beta_policy") { (rule) throws(SnapshotError) in try BetaPolicy.Rule(rule) }
            ),
            cooldowns: try CooldownSettings(fields, settings),
            security: try SecuritySettings(fields.optionalObject("security"))
        )
    }
}

extension BetaPolicy.Rule {
    fileprivate func write(to json: inout JSONWriter) {
        json.object {
            $0.member("token", token)
            $0.member("action", action.rawValue)
            $0.member("scope", scope.rawValue)
            $0.member("message", message)
        }
    }

    fileprivate init(_ fields: FieldReader) throws(SnapshotError) {
        self.init(
            token: try fields.text("token"),
            action: try fields.choice("action"),
            scope: try fields.choice("scope"),
            message: try fields.text("message")
        )
    }
}

/// Left out where it is the default, so that format 1 keeps its text.
extension SecuritySettings {
    fileprivate func write(to json: inout JSONWriter) {
        guard self != SecuritySettings() else { return }
        json.key("security")
        json.object {
            $0.texts("trusted_proxies", trustedProxies)
            $0.texts("cors_origins", corsOrigins)
        }
    }

    fileprivate init(_ fields: FieldReader?) throws(SnapshotError) {
        self.init(
            trustedProxies: try fields?.texts("trusted_proxies") ?? [],
            corsOrigins: try fields?.texts("cors_origins") ?? []
        )
    }
}

extension GatewaySettings {
    /// Names that this build does not know are ignored, those that are missing keep their defaults.
    fileprivate init(_ numbers: [(name: String, value: Int64)]) throws(SnapshotError) {
        self.init()
        for (name, value) in numbers where Self.fields.contains(where: { $0.name == name }) {
            guard set(name, value) else { throw .invalid("settings.\(name)") }
        }
    }
}

extension GroupSnapshot {
    fileprivate func write(to json: inout JSONWriter) {
        json.object {
            $0.member("id", id.raw)
            $0.member("revision", revision)
            $0.member("name", name)
            $0.member("platform", platform.rawValue)
            $0.member("active", isActive)
            $0.member("multiplier", multiplier.raw)
            $0.member("claude_code_only", isClaudeCodeOnly)
            $0.member("fallback_group_id", fallbackGroup?.raw)
            $0.member("subscription", isSubscription)
            if let daily = limits.daily { $0.member("daily_limit", daily.raw) }
            if let weekly = limits.weekly { $0.member("weekly_limit", weekly.raw) }
            if let monthly = limits.monthly { $0.member("monthly_limit", monthly.raw) }
            $0.texts("model_allowlist", modelAllowlist)
        }
    }

    fileprivate init(_ fields: FieldReader) throws(SnapshotError) {
        self.init(
            id: try fields.id("id"),
            revision: try fields.int("revision", in: 0...Int64.max),
            name: try fields.text("name"),
            platform: Platform(rawValue: try fields.text("platform")),
            isActive: try fields.bool("active"),
            multiplier: try fields.multiplier("multiplier"),
            isClaudeCodeOnly: try fields.bool("claude_code_only"),
            fallbackGroup: try fields.optionalID("fallback_group_id"),
            isSubscription: try fields.bool("subscription"),
            limits: SubscriptionLimits(
                daily: try fields.optionalMoney("daily_limit"),
                weekly: try fields.optionalMoney("weekly_limit"),
                monthly: try fields.optionalMoney("monthly_limit")
            ),
            modelAllowlist: try fields.texts("model_allowlist")
        )
    }
}

extension AccountSnapshot {
    fileprivate func write(to json: inout JSONWriter) {
        json.object {
            $0.member("id", id.raw)
            $0.member("name", name)
            $0.member("platform", platform.rawValue)
            $0.member("type", type.rawValue)
            $0.key("group_ids")
            $0.array { for group in groups { $0.int(group.raw) } }
            $0.member("active", isActive)
            $0.member("schedulable", isSchedulable)
            $0.member("expires_at", expiresAt?.microseconds)
            $0.member("priority", priority)
            $0.member("concurrency", concurrency)
            $0.member("rpm", rpm)
            $0.member("multiplier", multiplier.raw)
            $0.textMap("model_mapping", modelMapping)
            $0.textMap("header_overrides", headerOverrides)
            $0.textMap("credentials", plainCredentials)
            $0.member("upstream_protocol", upstreamProtocol.rawValue)
            $0.key("proxy")
            if let proxy { proxy.write(to: &$0) } else { $0.null() }
            // Later members of the format: where they are missing their defaults hold.
            rules.write(to: &$0)
            if allowsOverages { $0.member("allow_overages", true) }
            if let cacheTTLOverride { $0.member("cache_ttl", cacheTTLOverride.rawValue) }
            if let daily = quota.daily { $0.member("quota_daily", daily.raw) }
            if let weekly = quota.weekly { $0.member("quota_weekly", weekly.raw) }
            if let total = quota.total { $0.member("quota_total", total.raw) }
        }
    }

    fileprivate init(_ fields: FieldReader) throws(SnapshotError) {
        let proxy = try fields.optionalObject("proxy")
        self.init(
            id: try fields.id("id"),
            name: try fields.text("name"),
            platform: Platform(rawValue: try fields.text("platform")),
            type: try fields.choice("type"),
            groups: try fields.ids("group_ids"),
            isActive: try fields.bool("active"),
            isSchedulable: try fields.bool("schedulable"),
            expiresAt: try fields.optionalTime("expires_at"),
            priority: Int(try fields.int("priority", in: Int64(Int32.min)...Int64(Int32.max))),
            concurrency: Int(try fields.int("concurrency", in: 0...Int64(Int32.max))),
            rpm: Int(try fields.int("rpm", in: 0...Int64(Int32.max))),
            multiplier: try fields.multiplier("multiplier"),
            modelMapping: try fields.textMap("model_mapping"),
            headerOverrides: try fields.textMap("header_overrides"),
            plainCredentials: try fields.textMap("credentials"),
            upstreamProtocol: try fields.choice("upstream_protocol"),
            proxy: try proxy.map { (proxy) throws(SnapshotError) in try ProxySnapshot(proxy) },
            rules: try AccountRules(fields),
            allowsOverages: try fields.optionalBool("allow_overages") ?? false,
            cacheTTLOverride: try fields.optionalText("cache_ttl").flatMap { CacheTTL(rawValue: $0) },
            quota: AccountQuota(
                daily: try fields.optionalMoney("quota_daily"),
                weekly: try fields.optionalMoney("quota_weekly"),
                total: try fields.optionalMoney("quota_total")
            )
        )
    }
}

extension ProxySnapshot {
    fileprivate func write(to json: inout JSONWriter) {
        json.object {
            $0.member("id", id.raw)
            $0.member("scheme", scheme)
            $0.member("host", host)
            $0.member("port", port)
            $0.member("username", username)
            $0.member("sealed_password", sealedPassword)
        }
    }

    fileprivate init(_ fields: FieldReader) throws(SnapshotError) {
        self.init(
            id: try fields.id("id"),
            scheme: try fields.text("scheme"),
            host: try fields.text("host"),
            port: Int(try fields.int("port", in: 1...65_535)),
            username: try fields.optionalText("username"),
            sealedPassword: try fields.optionalText("sealed_password")
        )
    }
}

extension ModelPrice {
    fileprivate func write(to json: inout JSONWriter) {
        json.object {
            $0.member("model", model)
            $0.member("match", match.rawValue)
            $0.member("revision", revision)
            $0.member("input", input.raw)
            $0.member("output", output.raw)
            $0.member("cache_write_5m", cacheWrite5m.raw)
            $0.member("cache_write_1h", cacheWrite1h.raw)
            $0.member("cache_read", cacheRead.raw)
            if let price = inputMedia.image { $0.member("image_input", price.raw) }
            if let price = inputMedia.audio { $0.member("audio_input", price.raw) }
            if let price = outputMedia.image { $0.member("image_output", price.raw) }
            if let price = outputMedia.audio { $0.member("audio_output", price.raw) }
            $0.member("web_search", webSearch.raw)
            if request != .zero { $0.member("request", request.raw) }
            if !longContexts.isEmpty {
                $0.key("long_contexts")
                $0.array {
                    for context in longContexts {
                        $0.object {
                            $0.member("above", context.above)
                            context.rates.write(to: &$0)
                        }
                    }
                }
            }
            if !tiers.isEmpty {
                $0.key("tiers")
                $0.array {
                    for tier in ServiceTier.allCases {
                        guard let rates = tiers[tier] else { continue }
                        $0.object {
                            $0.member("tier", tier.rawValue)
                            rates.write(to: &$0)
                        }
                    }
                }
            }
            if let maximumInput { $0.member("max_input_tokens", maximumInput) }
            if let maximumOutput { $0.member("max_output_tokens", maximumOutput) }
        }
    }

    fileprivate init(_ fields: FieldReader) throws(SnapshotError) {
        let rates: ClosedRange<Int64> = 0...1_000_000_000_000_000
        func price(_ name: StaticString) throws(SnapshotError) -> PricePerMillion {
            PricePerMillion(try fields.int(name, in: rates))
        }
        /// Those that publishers before this one did not know may be missing.
        func media(_ image: StaticString, _ audio: StaticString) throws(SnapshotError) -> Media {
            Media(
                image: try fields.optionalInt(image, in: rates).map { PricePerMillion($0) },
                audio: try fields.optionalInt(audio, in: rates).map { PricePerMillion($0) }
            )
        }
        self.init(
            model: try fields.text("model"),
            match: try fields.choice("match"),
            revision: try fields.int("revision", in: 0...Int64.max),
            input: try price("input"),
            output: try price("output"),
            cacheWrite5m: try price("cache_write_5m"),
            cacheWrite1h: try price("cache_write_1h"),
            cacheRead: try price("cache_read"),
            inputMedia: try media("image_input", "audio_input"),
            outputMedia: try media("image_output", "audio_output"),
            webSearch: NanoUSD(try fields.int("web_search", in: 0...NanoUSD.maximum.raw)),
            request: NanoUSD(try fields.optionalInt("request", in: 0...NanoUSD.maximum.raw) ?? 0),
            longContexts: try fields.optionalObjects("long_contexts") { (context) throws(SnapshotError) in
                LongContext(above: try context.int("above", in: 0...Int64.max), try Rates(context))
            },
            maximumInput: try fields.optionalInt("max_input_tokens", in: 1...Int64.max),
            maximumOutput: try fields.optionalInt("max_output_tokens", in: 1...Int64.max)
        )
        let tiers = try fields.optionalObjects("tiers") { (tier) throws(SnapshotError) in
            (name: try tier.text("tier"), rates: try Rates(tier))
        }
        // A tier that this build does not know is not billed by it either.
        for tier in tiers { ServiceTier(rawValue: tier.name).map { self.tiers[$0] = tier.rates } }
    }
}

extension ModelPrice.Rates {
    fileprivate func write(to json: inout JSONWriter) {
        if let input { json.member("input", input.raw) }
        if let output { json.member("output", output.raw) }
        if let cacheWrite5m { json.member("cache_write_5m", cacheWrite5m.raw) }
        if let cacheWrite1h { json.member("cache_write_1h", cacheWrite1h.raw) }
        if let cacheRead { json.member("cache_read", cacheRead.raw) }
    }

    fileprivate init(_ fields: FieldReader) throws(SnapshotError) {
        func price(_ name: StaticString) throws(SnapshotError) -> PricePerMillion? {
            try fields.optionalInt(name, in: 0...1_000_000_000_000_000).map { PricePerMillion($0) }
        }
        self.init(
            input: try price("input"),
            output: try price("output"),
            cacheWrite5m: try price("cache_write_5m"),
            cacheWrite1h: try price("cache_write_1h"),
            cacheRead: try price("cache_read")
        )
    }
}

extension JSONWriter {
    mutating func texts(_ name: StaticString, _ texts: [String]) {
        key(name)
        array { for text in texts { $0.string(text) } }
    }

    /// Sorted, so that equal snapshots have equal texts.
    mutating func textMap(_ name: StaticString, _ map: [String: String]) {
        key(name)
        object {
            for (key, value) in map.sorted(by: { $0.key < $1.key }) {
                $0.key(key)
                $0.string(value)
            }
        }
    }
}
