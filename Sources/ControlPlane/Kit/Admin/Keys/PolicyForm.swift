import Decisions
import Domain
import Formats

/// What a request may say of a key's periodic limit, and how it stands in answers. Pure.
enum PolicyForm {
    /// An anchor lies within so many days of now.
    private static let farthestAnchor: Int64 = 3653

    static var form: Form<PolicyDraft> {
        Form(
            [
                .required("period", \.period, .choice(PolicyPeriod.allCases)),
                .optional(
                    "custom_minutes",
                    \.customMinutes,
                    ValueKind<Int64>.integer(1...525_600).orNil,
                    default: nil
                ),
                .optional("anchor_time", \.anchor, ValueKind<Timestamp>.time.orNil, default: nil),
                .required(
                    "quota",
                    \.quota,
                    .money(.zero ... .maximum).checked { $0 == .zero ? "must be more than 0" : nil }
                ),
                .optional("boundary", \.boundary, .choice(KeyPolicy.Boundary.allCases), default: .strict),
                .optional("exhausted_action", \.action, .choice(KeyPolicy.Action.allCases), default: .reject),
                .optional("auto_resume", \.resumesByItself, .flag, default: true),
            ],
            readOnly: ["used", "next_reset_at", "window_start", "exhausted"]
        )
    }

    /// The policy inside a key's form: given whole where there is none, and as a merge patch where there is one.
    static var field: Form<KeyDraft>.Field {
        Form<KeyDraft>.Field(
            name: "policy",
            schema: form.schema(for: .patch).nullable,
            isRequired: false,
            put: { (json, draft) throws(ValueFaults) in
                guard json.object != nil else { throw ValueFaults("must be an object or null") }
                var policy = draft.policy ?? PolicyDraft()
                let faults = form.fill(&policy, from: json, for: draft.policy == nil ? .create : .patch)
                if policy.period != .custom, json["custom_minutes"] == nil { policy.customMinutes = nil }
                let known = Set(faults.map(\.field))
                let all = faults + checks(policy).filter { !known.contains($0.field) }
                if !all.isEmpty { throw ValueFaults(all.map { FieldFault("." + $0.field, $0.message) }) }
                draft.policy = policy
            },
            reset: { $0.policy = nil }
        )
    }

    private static func checks(_ policy: PolicyDraft) -> [FieldFault] {
        var faults: [FieldFault] = []
        if (policy.period == .custom) != (policy.customMinutes != nil) {
            faults.append(
                FieldFault(
                    "custom_minutes",
                    policy.period == .custom ? "is required for the period custom" : "is for the period custom only"
                )
            )
        }
        return faults
    }

    /// Only a new anchor must lie near: one that was set long ago stays.
    static func anchorFaults(_ draft: KeyDraft, from current: KeyDraft?, now: Timestamp) -> [FieldFault] {
        guard let anchor = draft.policy?.anchor, anchor != current?.policy?.anchor else { return [] }
        let distance = (anchor.microseconds - now.microseconds).magnitude
        return distance > UInt64(farthestAnchor) * 86_400_000_000
            ? [FieldFault("policy.anchor_time", "must be within 10 years of now")] : []
    }

    /// A policy at a time.
    struct Shown {
        let policy: PolicyRecord
        let now: Timestamp
    }

    static var view: View<Shown> {
        View([
            .init("period", Schema.choice(PolicyPeriod.allCases.map(\.rawValue))) {
                .string($0.policy.fields.period.rawValue)
            },
            .init("custom_minutes", Schema.integer.nullable) { $0.policy.fields.customMinutes.map { .int($0) } ?? .null },
            .init("anchor_time", Schema.time) { .time($0.policy.fields.anchor) },
            .init("quota", Schema.money) { .money($0.policy.fields.quota) },
            .init("used", Schema.money) { .money($0.policy.used(at: $0.now)) },
            .init("boundary", Schema.choice(KeyPolicy.Boundary.allCases.map(\.rawValue))) {
                .string($0.policy.fields.boundary.rawValue)
            },
            .init("exhausted_action", Schema.choice(KeyPolicy.Action.allCases.map(\.rawValue))) {
                .string($0.policy.fields.action.rawValue)
            },
            .init("auto_resume", Schema.flag) { .bool($0.policy.fields.resumesByItself) },
            .init("window_start", Schema.time) { .time($0.policy.windows.window(at: $0.now).start) },
            .init("next_reset_at", Schema.time) { .time($0.policy.windows.window(at: $0.now).end) },
            .init("exhausted", Schema.flag) { .bool($0.policy.exhaustedWindow != nil) },
        ])
    }
}
