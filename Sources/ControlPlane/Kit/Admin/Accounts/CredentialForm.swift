import Crypto
package import Domain
package import Formats

/// What a request does to an account's credentials, before anything is sealed. Pure.
package struct CredentialEdit: Hashable {
    /// All plain fields as they will be.
    package var plain: [String: String]
    /// Names of all secret fields as they will be.
    package var sealedFields: [String]
    /// Secrets that are new; the others stay as they are sealed.
    package var newSecrets: [String: String]

    package init(plain: [String: String], sealedFields: [String], newSecrets: [String: String]) {
        self.plain = plain
        self.sealedFields = sealedFields
        self.newSecrets = newSecrets
    }

    /// Lets go of what belongs to tokens that others have taken the place of: when the old access token ends, and, with
    /// a new refresh token, the access token of the old login.
    fileprivate mutating func forgetReplacedTokens(given: Set<String>) {
        if newSecrets["refresh_token"] != nil, !given.contains("access_token") {
            sealedFields.removeAll { $0 == "access_token" }
            if !given.contains("expires_at") { plain["expires_at"] = nil }
        }
        if newSecrets["access_token"] != nil, !given.contains("expires_at") { plain["expires_at"] = nil }
    }

    /// Whether any secret differs from what is stored.
    package func changesSecrets(of stored: StoredCredentials) -> Bool {
        !newSecrets.isEmpty || sealedFields != stored.sealedFields
    }

    /// Whether it differs from what is stored.
    package func changes(_ stored: StoredCredentials) -> Bool {
        !newSecrets.isEmpty || plain != stored.plain || sealedFields != stored.sealedFields
    }
}

package enum CredentialForm {
    /// Fields of the echo that say how the sign-in stands; ignored when they are sent back.
    package static let signInState = "sign_in_state"
    package static let refreshError = "refresh_error"
    private static let echoed: Set<String> = [signInState, refreshError]
    private static let secretBytes = 16 * 1024

    /// Applies the `credentials` object of a request to what is stored (nothing, on creation), as a merge patch: fields
    /// not given stay, null removes, and a secret sent back as `•••` is unchanged.
    ///
    /// - Returns: faults named `credentials.…`, or the edit.
    package static func edit(
        _ given: JSON?,
        of stored: StoredCredentials?,
        platform: Platform,
        type: AccountType
    ) -> (edit: CredentialEdit, faults: [FieldFault]) {
        let members = given?.object ?? []
        var edit = CredentialEdit(
            plain: stored?.plain ?? [:],
            sealedFields: stored?.sealedFields ?? [],
            newSecrets: [:]
        )
        if let given, given.object == nil { return (edit, [FieldFault("credentials", "must be an object")]) }
        let authMode = given?["auth_mode"]?.string ?? edit.plain["auth_mode"]
        let description = CredentialDescription.find(platform, type, authMode: authMode)

        var faults: [FieldFault] = []
        // Another auth_mode has other fields; those of the old one go.
        let known = Set(description.fields.map(\.name))
        edit.plain = edit.plain.filter { known.contains($0.key) }
        edit.sealedFields = edit.sealedFields.filter { known.contains($0) }

        var seen: Set<String> = []
        for (name, value) in members where !echoed.contains(name) {
            guard let field = description.fields.first(where: { $0.name == name }) else {
                faults.append(FieldFault("credentials.\(name)", "is not a credential of this platform and type"))
                continue
            }
            guard seen.insert(name).inserted else {
                faults.append(FieldFault("credentials.\(name)", "stands twice"))
                continue
            }
            if let message = put(value, field, into: &edit) {
                faults.append(FieldFault("credentials.\(name)", message))
            }
        }
        edit.forgetReplacedTokens(given: Set(members.map(\.key)))
        let faulty = Set(faults.map(\.field))
        func has(_ name: String) -> Bool { edit.plain[name] != nil || edit.sealedFields.contains(name) }
        for field in description.fields where field.isRequired && !has(field.name) {
            let name = "credentials.\(field.name)"
            if !faulty.contains(name) { faults.append(FieldFault(name, "is required")) }
        }
        for names in description.anyOf where !names.contains(where: has) {
            if names.allSatisfy({ !faulty.contains("credentials.\($0)") }) {
                faults.append(
                    FieldFault(
                        "credentials.\(names[0])",
                        "is required, or else \(names.dropFirst().joined(separator: " or "))"
                    )
                )
            }
        }
        edit.sealedFields.sort()
        return (edit, faults)
    }

    private static func put(_ value: JSON, _ field: CredentialField, into edit: inout CredentialEdit) -> String? {
        if value.isNull {
            edit.plain[field.name] = nil
            edit.sealedFields.removeAll { $0 == field.name }
            return field.isRequired ? "must not be null" : nil
        }
        guard let text = value.string?.trimmed else { return "must be a text" }
        if field.isSecret {
            if text == Secret.mask {
                return edit.sealedFields.contains(field.name)
                    ? nil : "is a mask, but there is no stored secret behind it"
            }
            guard !text.isEmpty else { return "must not be empty" }
            guard text.utf8.count <= secretBytes else { return "must have at most \(secretBytes) characters" }
            guard text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
                return "must be printable ASCII without spaces"
            }
            edit.newSecrets[field.name] = text
            if !edit.sealedFields.contains(field.name) { edit.sealedFields.append(field.name) }
            return nil
        }
        let fault: String?
        switch field.kind {
        case .secret: fault = nil
        case .text(let length):
            fault =
                length.contains(text.unicodeScalars.count) && !text.unicodeScalars.contains(where: \.isControl)
                ? nil : "must have from \(length.lowerBound) to \(length.upperBound) characters"
        case .url: fault = UpstreamURL.fault(in: text)
        case .time: fault = Timestamp(rfc3339: text) == nil ? "must be a time such as 2026-11-05T08:30:00Z" : nil
        case .region: fault = isRegion(text) ? nil : "must be the name of an AWS region, such as us-east-1"
        case .choice(let words): fault = words.contains(text) ? nil : "must be one of \(words.joined(separator: ", "))"
        }
        if fault == nil { edit.plain[field.name] = text }
        return fault
    }

    private static func isRegion(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        return parts.count >= 3 && text.utf8.count <= 40
            && parts.allSatisfy { part in
                !part.isEmpty && part.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) }
            }
    }
}
