import Decisions
import Domain
import Formats

/// What a request may say of an API key. Pure.
package enum KeyForm {
    private static var ownFields: [Form<KeyDraft>.Field] {
        [
            .required("name", \.name, .text(1...100)),
            .required("group_id", \.group, .id),
            .optional("quota", \.quota, .limit, default: nil),
            PolicyForm.field,
            .optional("expires_at", \.expiresAt, ValueKind<Timestamp>.time.orNil, default: nil),
            .optional("ip_whitelist", \.ipWhitelist, .set(of: .addressRange, count: 0...500), default: []),
            .optional("ip_blacklist", \.ipBlacklist, .set(of: .addressRange, count: 0...500), default: []),
        ]
    }

    /// An admin's form.
    package static var form: Form<KeyDraft> {
        Form(
            [.required("user_id", \.user, .id)] + ownFields + [
                .optional("status", \.status, .choice(KeyStatus.allCases), default: .active),
                .optional("concurrency", \.concurrency, .integer(0...100_000), default: 0),
                .optional("rpm", \.rpm, .integer(0...10_000_000), default: 0),
                .optional("tpm", \.tpm, .integer(0...1_000_000_000), default: 0),
            ],
            readOnly: KeyView.view.names
        )
    }

    /// A user's form for own keys.
    package static var ownForm: Form<KeyDraft> { Form(ownFields, readOnly: KeyView.view.names) }

    /// A key's cost stays in one user's books.
    package static func patchFaults(_ draft: KeyDraft, from current: KeyDraft) -> [FieldFault] {
        draft.user == current.user ? [] : [FieldFault("user_id", "cannot be changed")]
    }
}

extension ValueKind where Value == String {
    /// An IP address or a CIDR range, v4 or v6.
    package static var addressRange: Self {
        .text(1...50).checked { AddressRange($0) == nil ? "must be an IP address or a range such as 10.0.0.0/8" : nil }
    }
}
