package import Domain

/// What has become of an account, as a worker tells the control plane: an entry of the stream `tg:events`.
package struct AccountEvent: Hashable, Sendable {
    package enum Change: Hashable, Sendable {
        case effect(AccountEffect)
        /// A success has disproved the flag in this field of the account's marks.
        case cleared(field: String)
    }

    package var account: AccountID
    /// On Redis' clock, by which all news of an account are ordered.
    package var at: Timestamp
    package var change: Change
    package var requestID: String
    /// Why: a `VerdictReason`.
    package var verdict: String

    package init(
        _ account: AccountID,
        at: Timestamp,
        _ change: Change,
        requestID: String = "",
        verdict: String = ""
    ) {
        self.account = account
        self.at = at
        self.change = change
        self.requestID = requestID
        self.verdict = verdict
    }

    private static let clearedKind = "cleared"

    /// Names and values of the stream's entry.
    package var fields: [(name: String, value: String)] {
        let head = [
            (name: "account", value: String(account.raw)), (name: "at", value: String(at.microseconds)),
            (name: "request_id", value: requestID), (name: "verdict", value: verdict),
        ]
        return switch change {
        case .effect(let effect): head + effect.fields
        case .cleared(let field): head + [(name: "kind", value: Self.clearedKind), (name: "flag", value: field)]
        }
    }

    /// Nil for an entry that this version does not understand.
    package init?(fields: [String: String]) {
        guard let account = fields["account"].flatMap({ Int64($0) }), let at = fields["at"].flatMap({ Int64($0) })
        else { return nil }
        let change: Change
        if fields["kind"] == Self.clearedKind {
            guard let field = fields["flag"] else { return nil }
            change = .cleared(field: field)
        } else {
            guard let effect = AccountEffect(fields: fields) else { return nil }
            change = .effect(effect)
        }
        self.init(
            AccountID(account),
            at: Timestamp(microseconds: at),
            change,
            requestID: fields["request_id"] ?? "",
            verdict: fields["verdict"] ?? ""
        )
    }
}
