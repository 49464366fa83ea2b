package import Domain
import Formats

/// What a request may say of a group. Pure.
package enum GroupForm {
    package static var form: Form<GroupDraft> {
        Form(
            [
                .required("name", \.name, .text(1...100)),
                .required("platform", \.platform, .choice(Platform.all)),
                .optional("status", \.status, .choice(GroupStatus.allCases), default: .active),
                .optional("multiplier", \.multiplier, .multiplier, default: .one),
                .optional("sort_order", \.sortOrder, ValueKind<Int64>.sortOrder.orNil, default: nil),
                .optional("claude_code_only", \.isClaudeCodeOnly, .flag, default: false),
                .optional("fallback_group_id", \.fallbackGroup, ValueKind<Int64>.id.orNil, default: nil),
                .optional("subscription", \.isSubscription, .flag, default: false),
                .optional("daily_limit", \.dailyLimit, .limit, default: nil),
                .optional("weekly_limit", \.weeklyLimit, .limit, default: nil),
                .optional("monthly_limit", \.monthlyLimit, .limit, default: nil),
                .optional("model_allowlist", \.modelAllowlist, .set(of: .modelName, count: 0...1000), default: []),
                .optional("open", \.isOpen, .flag, default: false),
            ],
            readOnly: GroupView.view.names
        )
    }

    /// Accounts and keys are bound to a group because of its platform, so that never changes.
    package static func patchFaults(_ draft: GroupDraft, from current: GroupDraft) -> [FieldFault] {
        draft.platform == current.platform ? [] : [FieldFault("platform", "cannot be changed")]
    }

    /// What is wrong with the fallback; `fallback` is the group it names, if there is one.
    package static func fallbackFaults(_ draft: GroupDraft, id: GroupID?, fallback: GroupRecord?) -> [FieldFault] {
        guard let wanted = draft.fallbackGroup else { return [] }
        let message: String? =
            if wanted == id?.raw {
                "must be another group"
            } else if let fallback {
                if fallback.fields.platform != draft.platform {
                    "must be a group of the same platform"
                } else if fallback.fields.isClaudeCodeOnly {
                    "must not itself be for Claude Code only"
                } else {
                    nil
                }
            } else {
                "is not a group"
            }
        return message.map { [FieldFault("fallback_group_id", $0)] } ?? []
    }

    package struct Place: Hashable {
        package var id: Int64 = 0
        package var sortOrder: Int64 = 0
    }
    package struct Order {
        package var places: [Place] = []
    }

    package static var orderForm: Form<Order> {
        let place = Form<Place>([
            .required("id", \.id, .id), .required("sort_order", \.sortOrder, .sortOrder),
        ])
        return Form([
            .required(
                "items",
                \.places,
                .array(of: .object(place, from: Place()), count: 1...10_000).checked { places in
                    Set(places.map(\.id)).count == places.count ? nil : "must not name a group twice"
                }
            )
        ])
    }
}

extension ValueKind where Value == Int64 {
    package static var sortOrder: Self { .integer(-1_000_000...1_000_000_000) }
}

extension ValueKind where Value == String {
    /// A model's name, or a pattern of names with `*`.
    package static var modelName: Self {
        .text(1...200).checked { name in
            name.unicodeScalars.contains { $0.properties.isWhitespace } ? "must not have white space" : nil
        }
    }
}
