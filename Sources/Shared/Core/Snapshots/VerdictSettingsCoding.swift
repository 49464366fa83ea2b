import Domain
import Formats

/// What verdicts depend on, in the text of a configuration. Everything is left out where it is the default, so that
/// format 1 keeps its text.
extension AccountRules {
    func write(to json: inout JSONWriter) {
        if isPoolMode { json.member("pool_mode", true) }
        if poolRetryCount != Self.defaultPoolRetryCount { json.member("pool_retry_count", poolRetryCount) }
        if !customErrorCodes.isEmpty {
            json.key("custom_error_codes")
            json.array { for code in customErrorCodes { $0.int(Int64(code)) } }
        }
        if !pauseRules.isEmpty {
            json.key("temp_unschedulable_rules")
            json.array { for rule in pauseRules { rule.write(to: &$0) } }
        }
    }

    init(_ fields: FieldReader) throws(SnapshotError) {
        let retries = try fields.optionalInt("pool_retry_count", in: 0...Int64(Self.maximumPoolRetryCount))
        self.init(
            isPoolMode: try fields.optionalBool("pool_mode") ?? false,
            poolRetryCount: retries.map { Int($0) } ?? Self.defaultPoolRetryCount,
            customErrorCodes: try fields.optionalInts("custom_error_codes", in: PauseRule.statuses).map { Int($0) },
            pauseRules: try fields.optionalObjects("temp_unschedulable_rules") { (rule) throws(SnapshotError) in
                try PauseRule(rule)
            }
        )
    }
}

extension PauseRule {
    fileprivate func write(to json: inout JSONWriter) {
        json.object {
            $0.member("status", status)
            $0.texts("keywords", keywords)
            $0.member("minutes", minutes)
        }
    }

    fileprivate init(_ fields: FieldReader) throws(SnapshotError) {
        self.init(
            status: try fields.int("status", in: Self.statuses),
            keywords: try fields.texts("keywords"),
            minutes: try fields.int("minutes", in: Self.minuteRange)
        )
    }
}

extension CooldownSettings {
    func write(to json: inout JSONWriter) {
        func cooldown(_ name: StaticString, _ unit: StaticString, _ rest: Duration?, seconds: Int64) {
            json.key(name)
            json.object {
                $0.member("enabled", rest != nil)
                if let rest { $0.member(unit, rest.components.seconds / seconds) }
            }
        }
        if overload != Self.defaultOverload { cooldown("overload_cooldown", "cooldown_minutes", overload, seconds: 60) }
        if rateLimit != Self.defaultRateLimit { cooldown("rate_limit_cooldown", "seconds", rateLimit, seconds: 1) }
    }

    init(_ fields: FieldReader, _ settings: GatewaySettings) throws(SnapshotError) {
        self.init(unauthorized: settings.unauthorizedPause)
        if let cooldown = try fields.optionalObject("overload_cooldown") {
            let isEnabled = try cooldown.bool("enabled")
            overload = isEnabled ? .seconds(60 * (try cooldown.int("cooldown_minutes", in: Self.overloadMinutes))) : nil
        }
        if let cooldown = try fields.optionalObject("rate_limit_cooldown") {
            let isEnabled = try cooldown.bool("enabled")
            rateLimit = isEnabled ? .seconds(try cooldown.int("seconds", in: Self.rateLimitSeconds)) : nil
        }
    }
}
