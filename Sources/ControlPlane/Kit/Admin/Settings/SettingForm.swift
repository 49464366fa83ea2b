import Decisions
import Domain
package import Formats
import Snapshots

/// A setting: its fields with bounds and defaults, kept and answered as one JSON object. Pure.
package struct SettingForm {
    package let name: String
    private let fields: [(name: String, kind: ValueKind<JSON>, fallback: JSON)]

    /// Everything that can be set.
    package static var all: [SettingForm] {
        [
            SettingForm(
                name: "gateway",
                fields: GatewaySettings.fields.map { field in
                    field.range == 0...1
                        ? (field.name, .switch, .bool(field.defaultValue == 1))
                        : (field.name, .number(field.range), .int(field.defaultValue))
                }
            ),
            SettingForm(
                name: "overload-cooldown",
                fields: [
                    ("enabled", .switch, true),
                    (
                        "cooldown_minutes", .number(CooldownSettings.overloadMinutes),
                        .int(CooldownSettings.defaultOverloadMinutes)
                    ),
                ]
            ),
            SettingForm(
                name: "rate-limit-cooldown",
                fields: [
                    ("enabled", .switch, true),
                    (
                        "seconds", .number(CooldownSettings.rateLimitSeconds),
                        .int(CooldownSettings.defaultRateLimitSeconds)
                    ),
                ]
            ),
            SettingForm(name: "beta-policy", fields: [("rules", .betaRules, [])]),
            SettingForm(
                name: "security",
                fields: [
                    ("trusted_proxies", .texts(.addressRange), []),
                    ("cors_origins", .texts(.webOrigin), []),
                    ("session_hours", .number(LoginPolicy.sessionHours), .int(LoginPolicy.defaultSessionHours)),
                    ("login_attempts", .number(LoginPolicy.attempts), .int(LoginPolicy.defaultAttempts)),
                ]
            ),
        ]
    }

    /// What is stored, with defaults for what is missing; what is not valid any more has its default too.
    package func value(of stored: JSON?) -> JSON {
        .object(
            fields.map { field in
                let value = stored?[field.name].flatMap { try? field.kind.read($0) }
                return (key: field.name, value: value ?? field.fallback)
            }
        )
    }

    /// Reads a whole setting: a field not given, or null, has its default.
    package func read(_ body: JSON) -> (value: JSON, faults: [FieldFault]) {
        var draft: [String: JSON] = [:]
        let faults = form.fill(&draft, from: body, for: .create)
        return (.object(fields.map { (key: $0.name, value: draft[$0.name] ?? $0.fallback) }), faults)
    }

    private var form: Form<[String: JSON]> {
        Form(fields.map { .optional($0.name, \.[$0.name], $0.kind.map { $0 }, default: nil) })
    }

    package var schema: JSON {
        .object([
            (key: "type", value: "object"),
            (
                key: "properties",
                value: .object(
                    fields.map { field in
                        var schema = field.kind.schema
                        schema["default"] = field.fallback
                        return (key: field.name, value: schema)
                    }
                )
            ),
            (key: "additionalProperties", value: false),
        ])
    }
}

extension ValueKind where Value == JSON {
    /// Which beta features of Anthropic's callers may ask for (`BetaPolicy`).
    fileprivate static var betaRules: Self {
        let rule = ValueKind<BetaPolicy.Rule>.object(
            Form([
                .required("token", \.token, .text(1...100).checked(Self.betaTokenFault)),
                .required("action", \.action, .choice(BetaPolicy.Action.allCases)),
                .optional("scope", \.scope, .choice(BetaPolicy.Scope.allCases), default: .all),
                .optional("message", \.message, .text(0...500), default: ""),
            ]),
            from: BetaPolicy.Rule(token: "", action: .pass)
        )
        return ValueKind<[BetaPolicy.Rule]>.array(of: rule, count: 0...200).map { rules in
            .array(
                rules.map { rule in
                    [
                        "token": .string(rule.token), "action": .string(rule.action.rawValue),
                        "scope": .string(rule.scope.rawValue), "message": .string(rule.message),
                    ]
                }
            )
        }
    }

    private static func betaTokenFault(_ token: String) -> String? {
        let name = token.hasSuffix("*") ? token.dropLast() : token[...]
        return name.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "*") }
            ? nil : "must be the name of a beta feature, with a * at most at its end"
    }

    fileprivate static func texts(_ kind: ValueKind<String>) -> Self {
        ValueKind<[String]>.array(of: kind, count: 0...200).map { .array($0.map { .string($0) }) }
    }

    fileprivate static var `switch`: Self { ValueKind<Bool>.flag.map { .bool($0) } }
    fileprivate static func number(_ range: ClosedRange<Int64>) -> Self {
        ValueKind<Int64>.integer(range).map { .int($0) }
    }
}

extension ValueKind where Value == String {
    fileprivate static var webOrigin: Self {
        text(1...300).checked {
            $0 == "*" || WebOrigin.isValid($0.lowercased()) ? nil : "must be an origin, https://host:port, or *"
        }
    }
}
