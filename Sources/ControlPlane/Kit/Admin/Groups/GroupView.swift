import Domain
import Formats

/// A group in answers.
package enum GroupView {
    package static var view: View<GroupRecord> {
        View([
            .init("id", Schema.id) { .int($0.id.raw) },
            .init("name", Schema.text) { .string($0.fields.name) },
            .init("platform", Schema.choice(Platform.all.map(\.rawValue))) { .string($0.fields.platform.rawValue) },
            .init("status", Schema.choice(GroupStatus.allCases.map(\.rawValue))) { .string($0.fields.status.rawValue) },
            .init("multiplier", Schema.multiplier) { .string($0.fields.multiplier.description) },
            .init("sort_order", Schema.integer) { .int($0.fields.sortOrder ?? 0) },
            .init("claude_code_only", Schema.flag) { .bool($0.fields.isClaudeCodeOnly) },
            .init("fallback_group_id", Schema.id.nullable) { $0.fields.fallbackGroup.map { .int($0) } ?? .null },
            .init("subscription", Schema.flag) { .bool($0.fields.isSubscription) },
            .init("daily_limit", Schema.money.nullable) { .money($0.fields.dailyLimit) },
            .init("weekly_limit", Schema.money.nullable) { .money($0.fields.weeklyLimit) },
            .init("monthly_limit", Schema.money.nullable) { .money($0.fields.monthlyLimit) },
            .init("model_allowlist", Schema.array(of: Schema.text)) {
                .array($0.fields.modelAllowlist.map { .string($0) })
            },
            .init("open", Schema.flag) { .bool($0.fields.isOpen) },
            .init("created_at", Schema.time) { .time($0.createdAt) },
            .init("updated_at", Schema.time) { .time($0.updatedAt) },
        ])
    }
}
