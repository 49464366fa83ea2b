import Domain
import Formats

/// What a request may say of a subscription, and how it stands in answers. Pure.
enum SubscriptionForm {
    static var form: Form<SubscriptionDraft> {
        Form(
            [
                .required("user_id", \.user, .id), .required("group_id", \.group, .id),
                .optional("starts_at", \.startsAt, ValueKind<Timestamp>.time.orNil, default: nil),
                .required("expires_at", \.expiresAt, .time),
                .optional("status", \.status, .choice(SubscriptionStatus.allCases), default: .active),
            ],
            readOnly: view.names
        )
    }

    /// - Parameter current: nil on creation.
    static func faults(_ draft: SubscriptionDraft, from current: SubscriptionDraft?, now: Timestamp)
        -> [FieldFault]
    {
        var faults: [FieldFault] = []
        // As they are kept.
        if draft.expiresAt.milliseconds <= (draft.startsAt ?? now).milliseconds {
            faults.append(FieldFault("expires_at", "must be after starts_at"))
        }
        if let current {
            if draft.user != current.user { faults.append(FieldFault("user_id", "cannot be changed")) }
            if draft.group != current.group { faults.append(FieldFault("group_id", "cannot be changed")) }
        }
        return faults
    }

    static var view: View<SubscriptionRecord> {
        View([
            .init("id", Schema.id) { .int($0.id.raw) },
            .init("user_id", Schema.id) { .int($0.fields.user) },
            .init("group_id", Schema.id) { .int($0.fields.group) },
            .init("starts_at", Schema.time) { .time($0.fields.startsAt) },
            .init("expires_at", Schema.time) { .time($0.fields.expiresAt) },
            .init("status", Schema.choice(SubscriptionStatus.allCases.map(\.rawValue))) {
                .string($0.fields.status.rawValue)
            },
            .init("daily_used", Schema.money) { .money($0.used($0.day, .day)) },
            .init("weekly_used", Schema.money) { .money($0.used($0.week, .week)) },
            .init("monthly_used", Schema.money) { .money($0.used($0.month, .month)) },
            .init("created_at", Schema.time) { .time($0.createdAt) },
            .init("updated_at", Schema.time) { .time($0.updatedAt) },
        ])
    }
}
