import Crypto
import Decisions
import Domain
package import Formats
import Snapshots
import Telemetry

/// An account in answers: everything but its secrets.
package enum AccountView {
    package static var view: View<AccountRecord> {
        View([
            .init("id", Schema.id) { .int($0.id.raw) },
            .init("name", Schema.text) { .string($0.fields.name) },
            .init("platform", Schema.choice(Platform.all.map(\.rawValue))) { .string($0.fields.platform.rawValue) },
            .init("type", Schema.choice(AccountType.allCases.map(\.rawValue))) { .string($0.fields.type.rawValue) },
            .init("credentials", Schema.object) { credentials($0) },
            .init("group_ids", Schema.array(of: Schema.id)) { .array($0.fields.groups.map { .int($0) }) },
            .init("priority", Schema.integer) { .int($0.fields.priority) },
            .init("concurrency", Schema.integer) { .int($0.fields.concurrency) },
            .init("rpm", Schema.integer) { .int($0.fields.rpm) },
            .init("multiplier", Schema.multiplier) { .string($0.fields.multiplier.description) },
            .init("model_mapping", Schema.object) { .texts($0.fields.modelMapping) },
            .init("header_overrides", Schema.object) { .texts($0.fields.headerOverrides) },
            .init("proxy_id", Schema.id.nullable) { $0.fields.proxy.map { .int($0) } ?? .null },
            .init("schedulable", Schema.flag) { .bool($0.fields.isSchedulable) },
            .init("upstream_protocol", Schema.choice(["auto", "http1", "h2"])) {
                .string($0.fields.upstreamProtocol.rawValue)
            },
            .init("expires_at", Schema.time.nullable) { .time($0.fields.expiresAt) },
            .init("pool_mode", Schema.flag) { .bool($0.fields.isPoolMode) },
            .init("pool_retry_count", Schema.integer) { .int($0.fields.poolRetryCount) },
            .init("custom_error_codes", Schema.array(of: Schema.integer)) {
                .array($0.fields.customErrorCodes.map { .int($0) })
            },
            .init("temp_unschedulable_rules", Schema.array(of: Schema.object)) {
                .array($0.fields.pauseRules.map(\.json))
            },
            .init("quota_daily", Schema.money.nullable) { .money($0.fields.quotaDaily) },
            .init("quota_weekly", Schema.money.nullable) { .money($0.fields.quotaWeekly) },
            .init("quota_total", Schema.money.nullable) { .money($0.fields.quotaTotal) },
            .init("cache_ttl_override", Schema.choice(CacheTTL.allCases.map(\.rawValue)).nullable) {
                $0.fields.cacheTTLOverride.map { .string($0.rawValue) } ?? .null
            },
            .init("allow_overages", Schema.flag) { .bool($0.fields.allowsOverages) },
            .init("status", Schema.choice(AccountStatus.allCases.map(\.rawValue))) {
                .string($0.fields.status.rawValue)
            },
            .init("error_message", Schema.text.nullable) { $0.errorMessage.map { .string($0) } ?? .null },
            .init("forbidden_type", Schema.text.nullable) { $0.forbiddenType.map { .string($0) } ?? .null },
            .init("validation_url", Schema.text.nullable) { $0.validationURL.map { .string($0) } ?? .null },
            .init("rate_limited_until", Schema.time.nullable) { .time($0.flag(.rateLimited)?.until) },
            .init("overloaded_until", Schema.time.nullable) { .time($0.flag(.overloaded)?.until) },
            .init("temp_unschedulable_until", Schema.time.nullable) { .time($0.flag(.paused)?.until) },
            .init("temp_unschedulable_reason", Schema.text.nullable) {
                $0.flag(.paused).map { .string($0.reason.isEmpty ? $0.cause : $0.reason) } ?? .null
            },
            .init("model_limits", Schema.object) { modelLimits($0) },
            .init("quota_daily_used", Schema.money) { used(.daily, $0) },
            .init("quota_weekly_used", Schema.money) { used(.weekly, $0) },
            .init("quota_total_used", Schema.money) { used(.total, $0) },
            .init("in_flight", Schema.integer.nullable) { $0.inFlight.map { .int($0) } ?? .null },
            .init("last_used_at", Schema.time.nullable) { .time($0.lastUsedAt) },
            .init("session_window_start", Schema.time.nullable) { .time($0.usage.session?.start) },
            .init("session_window_end", Schema.time.nullable) { .time($0.usage.session?.end) },
            .init("subscription_tier", Schema.text.nullable) {
                $0.usage.tier.map { .string(SubscriptionTier(upstreamName: $0).rawValue) } ?? .null
            },
            .init("credits_state", Schema.choice(CreditsState.allCases.map(\.rawValue)).nullable) {
                $0.creditsState.map { .string($0.rawValue) } ?? .null
            },
            .init("created_at", Schema.time) { .time($0.createdAt) },
            .init("updated_at", Schema.time) { .time($0.updatedAt) },
        ])
    }

    /// A period that is over reads as unused.
    private static func used(_ kind: AccountQuota.Kind, _ account: AccountRecord) -> JSON {
        .money(account.spending.used(kind, at: Timestamp.now))
    }

    /// Model → when its limit ends.
    private static func modelLimits(_ account: AccountRecord) -> JSON {
        .object(
            account.flags.compactMap { flag in
                if case .modelLimited(let model) = flag.kind { (key: model, value: .time(flag.until)) } else { nil }
            }
        )
    }

    private enum SignInState: String {
        case missing
        case signedIn = "signed_in"
        /// Nothing but a new sign-in helps.
        case needsReauth = "needs_reauth"
    }

    private static func signInState(_ account: AccountRecord) -> SignInState {
        if account.credentials.sealedFields.isEmpty { return .missing }
        guard account.fields.type == .oauth || account.fields.type == .setupToken else { return .signedIn }
        // Kept texts begin with the status.
        let isRefused = account.fields.status == .error && account.errorMessage?.hasPrefix("401") == true
        return account.refresh.needsSignIn || isRefused ? .needsReauth : .signedIn
    }

    /// Plain fields as they are, secrets masked, in the order of their description; then the sign-in state.
    private static func credentials(_ account: AccountRecord) -> JSON {
        let stored = account.credentials
        let description = CredentialDescription.find(
            account.fields.platform,
            account.fields.type,
            authMode: stored.plain["auth_mode"]
        )
        var json: JSON = [:]
        for field in description.fields {
            if stored.sealedFields.contains(field.name) {
                json[field.name] = .string(Secret.mask)
            } else if let text = stored.plain[field.name] {
                json[field.name] = .string(text)
            }
        }
        json[CredentialForm.signInState] = .string(signInState(account).rawValue)
        if let error = account.refresh.error { json[CredentialForm.refreshError] = .string(error) }
        return json
    }
}

extension AccountRecord {
    /// Keys are never paid with credits.
    fileprivate var creditsState: CreditsState? {
        CreditsState(allowsOverages: fields.allowsOverages && fields.type == .oauth, flags: flags)
    }

    fileprivate func flag(_ kind: AccountFlag.Kind) -> AccountFlag? { flags.first { $0.kind == kind } }
}

extension JSON {
    /// An object of texts, by name.
    package static func texts(_ map: [String: String]) -> JSON {
        .object(map.sorted { $0.key < $1.key }.map { (key: $0.key, value: .string($0.value)) })
    }
}
