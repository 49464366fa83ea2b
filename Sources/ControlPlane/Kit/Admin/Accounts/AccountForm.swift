import Domain
package import Formats
import Snapshots

/// What a request may say of an account. Pure.
package enum AccountForm {
    /// An account's fields with the credentials as they were sent.
    package struct Draft {
        package var fields: AccountDraft
        package var credentials: JSON?

        package init(_ fields: AccountDraft = AccountDraft()) { self.fields = fields }
    }

    package static var form: Form<Draft> {
        Form(identity + placement + dealing + limits, readOnly: AccountView.view.names)
    }

    private static var identity: [Form<Draft>.Field] {
        [
            .required("name", \.fields.name, .text(1...100)),
            .required("platform", \.fields.platform, .choice(Platform.all)),
            .required("type", \.fields.type, .choice(AccountType.allCases)),
            .required("credentials", \.credentials, .credentials),
            .optional("status", \.fields.status, .choice([.active, .inactive, .error]), default: .active),
            .optional("expires_at", \.fields.expiresAt, ValueKind<Timestamp>.time.orNil, default: nil),
        ]
    }

    private static var placement: [Form<Draft>.Field] {
        [
            .optional("group_ids", \.fields.groups, .set(of: .id, count: 0...200), default: []),
            .optional("priority", \.fields.priority, .integer(0...1_000_000), default: 50),
            .optional("concurrency", \.fields.concurrency, .integer(0...100_000), default: 10),
            .optional("rpm", \.fields.rpm, .integer(0...10_000_000), default: 0),
            .optional("schedulable", \.fields.isSchedulable, .flag, default: true),
            .optional("model_mapping", \.fields.modelMapping, .modelMapping, default: [:]),
            .optional("header_overrides", \.fields.headerOverrides, .headerOverrides, default: [:]),
            .optional("proxy_id", \.fields.proxy, ValueKind<Int64>.id.orNil, default: nil),
            .optional("upstream_protocol", \.fields.upstreamProtocol, .choice([.auto, .http1, .h2]), default: .auto),
        ]
    }

    private static var dealing: [Form<Draft>.Field] {
        [
            .optional("pool_mode", \.fields.isPoolMode, .flag, default: false),
            .optional(
                "pool_retry_count",
                \.fields.poolRetryCount,
                .integer(0...Int64(AccountRules.maximumPoolRetryCount)),
                default: Int64(AccountRules.defaultPoolRetryCount)
            ),
            .optional(
                "custom_error_codes",
                \.fields.customErrorCodes,
                .set(of: .integer(PauseRule.statuses), count: 0...100),
                default: []
            ),
            .optional(
                "temp_unschedulable_rules",
                \.fields.pauseRules,
                .array(of: .pauseRule, count: 0...50),
                default: []
            ),
        ]
    }

    private static var limits: [Form<Draft>.Field] {
        [
            .optional("multiplier", \.fields.multiplier, .multiplier, default: .one),
            .optional("quota_daily", \.fields.quotaDaily, .limit, default: nil),
            .optional("quota_weekly", \.fields.quotaWeekly, .limit, default: nil),
            .optional("quota_total", \.fields.quotaTotal, .limit, default: nil),
            .optional(
                "cache_ttl_override",
                \.fields.cacheTTLOverride,
                ValueKind<CacheTTL>.choice(CacheTTL.allCases).orNil,
                default: nil
            ),
            .optional("allow_overages", \.fields.allowsOverages, .flag, default: false),
        ]
    }

    /// A body as it was understood, with all that is wrong with it; at most one fault a field.
    package struct Reading {
        package fileprivate(set) var draft: AccountDraft
        package fileprivate(set) var credentials: CredentialEdit
        package private(set) var faults: [FieldFault] = []

        package func isFaulty(_ field: String) -> Bool { faults.contains { $0.field == field } }

        package mutating func add(_ more: [FieldFault]) {
            for fault in more where !isFaulty(fault.field) { faults.append(fault) }
        }
    }

    /// Reads a body for creation, or as a patch onto the account as it is. Groups and proxy are not looked up.
    package static func read(_ body: JSON, current: AccountRecord?) -> Reading {
        var draft = Draft(current?.fields ?? AccountDraft())
        let formFaults = form.fill(&draft, from: body, for: current == nil ? .create : .patch)
        let platform = current?.fields.platform ?? draft.fields.platform
        let type = current?.fields.type ?? draft.fields.type
        let (edit, credentialFaults) = CredentialForm.edit(
            draft.credentials,
            of: current?.credentials,
            platform: platform,
            type: type
        )
        var reading = Reading(draft: draft.fields, credentials: edit)
        reading.add(formFaults)
        // Credentials can only be judged for a platform and type that go together.
        guard !reading.isFaulty("platform"), !reading.isFaulty("type") else { return reading }
        reading.add(faults(draft.fields, from: current?.fields))
        if !reading.isFaulty("type"), !reading.isFaulty("credentials") { reading.add(credentialFaults) }
        return reading
    }

    /// What one field's own rules cannot see.
    ///
    /// - Parameter current: the account as it is; nil on creation.
    package static func faults(_ draft: AccountDraft, from current: AccountDraft?) -> [FieldFault] {
        var faults: [FieldFault] = []
        if let current {
            if draft.platform != current.platform { faults.append(FieldFault("platform", "cannot be changed")) }
            if draft.type != current.type { faults.append(FieldFault("type", "cannot be changed")) }
        } else {
            let types = AccountType.allowed(on: draft.platform)
            if !types.contains(draft.type) {
                faults.append(
                    FieldFault(
                        "type",
                        "must be one of \(types.map(\.rawValue).joined(separator: ", ")) on this platform"
                    )
                )
            }
        }
        // Only an upstream puts an account in error; the word may be sent back unchanged.
        if draft.status == .error, current?.status != .error {
            faults.append(FieldFault("status", "must be active or inactive"))
        }
        if draft.cacheTTLOverride != nil, draft.platform != .anthropic {
            faults.append(FieldFault("cache_ttl_override", "is for accounts of the platform anthropic"))
        }
        if draft.allowsOverages, draft.platform != .antigravity {
            faults.append(FieldFault("allow_overages", "is for accounts of the platform antigravity"))
        }
        return faults
    }

    /// What is wrong with the groups; `found` are those that exist.
    package static func groupFaults(_ draft: AccountDraft, found: [GroupRecord]) -> [FieldFault] {
        draft.groups.enumerated().compactMap { index, id in
            guard let group = found.first(where: { $0.id.raw == id }) else {
                return FieldFault("group_ids[\(index)]", "is not a group")
            }
            return group.fields.platform == draft.platform
                ? nil : FieldFault("group_ids[\(index)]", "must be a group of the same platform")
        }
    }
}

extension ValueKind where Value == JSON? {
    /// Read in a second step, when platform and type are known.
    fileprivate static var credentials: Self {
        Self([
            "type": "object",
            "description": "By platform and type. Secrets are answered as \"•••\"; sent back so, they are unchanged.",
        ]) { (json) throws(ValueFaults) -> JSON? in
            guard json.object != nil else { throw ValueFaults("must be an object") }
            return json
        }
    }
}

extension ValueKind where Value == [String: String] {
    /// Requested model, which may have one `*` → upstream model.
    fileprivate static var modelMapping: Self {
        .map(to: .modelName, count: 0...500) { name in
            if name.isEmpty || name.unicodeScalars.count > 200 { return "must have a name of 1 to 200 characters" }
            if name.unicodeScalars.contains(where: { $0.isControl || $0.properties.isWhitespace }) {
                return "must not have white space in its name"
            }
            return name.utf8.count(where: { $0 == UInt8(ascii: "*") }) > 1 ? "must have at most one *" : nil
        }
    }

    fileprivate static var headerOverrides: Self {
        let value = ValueKind<String>.text(0...4096).checked { text in
            text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } ? nil : "must not have control characters"
        }
        return .map(to: value, count: 0...50) { HeaderRules.fault(inName: $0) }.checked { headers in
            Set(headers.keys.map { $0.lowercased() }).count == headers.count ? nil : "must not name a header twice"
        }
    }
}

/// Which request headers an admin may set for an account.
package enum HeaderRules {
    private static let refused: Set<String> = [
        // Of the connection (RFC 9110, 7.6.1) and of framing: the gateway's own business.
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "content-length", "content-encoding", "content-type", "accept-encoding", "host",
        "expect", "http2-settings",
        // Credentials have a sealed place of their own.
        "authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "set-cookie", "x-amz-security-token",
        "x-amz-date", "x-amz-content-sha256",
    ]

    /// What is wrong with a header's name, or nil. Names are tokens (RFC 9110, 5.6.2).
    package static func fault(inName name: String) -> String? {
        guard (1...100).contains(name.utf8.count), name.utf8.allSatisfy(isTokenByte) else {
            return "must be the name of a header"
        }
        return refused.contains(name.lowercased()) ? "cannot be overridden" : nil
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}

extension ValueKind where Value == PauseRule {
    fileprivate static var pauseRule: Self {
        .object(
            Form([
                .required("status", \.status, .integer(PauseRule.statuses)),
                .optional("keywords", \.keywords, .array(of: .text(1...200), count: 0...50), default: []),
                .required("minutes", \.minutes, .integer(PauseRule.minuteRange)),
            ]),
            from: PauseRule()
        )
    }
}
