package import Domain
import Formats

/// What a request may say of a user. Pure.
package enum UserForm {
    package static let passwordLength = 8...256

    package static var form: Form<UserDraft> {
        Form(
            [
                .required("email", \.email, .email),
                .required("password", \.password, ValueKind<String>.secret(passwordLength).map { $0 }),
                .optional("role", \.role, .choice(UserRole.allCases), default: .user),
                .optional("status", \.status, .choice(UserStatus.allCases), default: .active),
                .optional("concurrency", \.concurrency, .integer(0...100_000), default: 0),
                .optional("rpm", \.rpm, .integer(0...10_000_000), default: 0),
                .optional("balance", \.balance, .money(.zero ... .maximum), default: .zero),
            ],
            readOnly: UserView.view.names
        )
    }

    /// The balance is the ledger's: a patch may repeat it, not change it.
    package static func patchFaults(_ draft: UserDraft, from current: UserDraft) -> [FieldFault] {
        draft.balance == current.balance
            ? [] : [FieldFault("balance", "is changed by a ledger entry: POST …/users/{id}/balance")]
    }

    package struct BalanceChange {
        package var amount = NanoUSD.zero
        package var note = ""
    }

    package static var balanceForm: Form<BalanceChange> {
        Form([
            .required(
                "amount",
                \.amount,
                .money(NanoUSD(-NanoUSD.maximum.raw) ... .maximum).checked { $0 == .zero ? "must not be 0" : nil }
            ),
            .optional("note", \.note, .text(0...500, allowsLineBreaks: true), default: ""),
        ])
    }
}

extension ValueKind where Value == String {
    /// An e-mail address, as far as a form can tell: mail to it is the only real check.
    package static var email: Self {
        Self(["type": "string", "format": "email", "maxLength": 254]) { (json) throws(ValueFaults) -> String in
            guard let text = json.string?.trimmed else { throw ValueFaults("must be a text") }
            let parts = text.split(separator: "@", omittingEmptySubsequences: false)
            guard text.utf8.count <= 254, parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty,
                !text.unicodeScalars.contains(where: {
                    $0.isControl || $0.properties.isWhitespace || "<>(),;:\"\\".unicodeScalars.contains($0)
                })
            else { throw ValueFaults("must be an e-mail address") }
            return text
        }
    }
}
