import Decisions
package import Domain
package import Snapshots

/// The steps of admission that need nothing but the snapshot.
package enum AdmissionPolicy {
    package static let unknownKey = GatewayError(.invalidAPIKey, "The API key is missing, malformed or not valid.")

    /// Key and user: disabled, denied by address, expired. In this order.
    ///
    /// - Parameters:
    ///   - address: the caller's, 16 bytes.
    ///   - allowsExpired: for what an expired key may still ask.
    package static func check(
        _ key: KeySnapshot,
        address: [UInt8],
        now: Timestamp,
        allowsExpired: Bool = false
    ) throws(GatewayError) {
        guard key.isActive else { throw unknownKey }
        if !key.ipWhitelist.isEmpty || !key.ipBlacklist.isEmpty {
            let rules = AddressRules(whitelist: key.ipWhitelist, blacklist: key.ipBlacklist)
            guard rules.admits(address) else { throw GatewayError(.accessDenied, "Access denied") }
        }
        if !allowsExpired, let end = key.expiresAt, end <= now {
            throw GatewayError(.apiKeyExpired, "The API key has expired.")
        }
        guard key.isUserActive else { throw GatewayError(.userDisabled, "The user of this API key is disabled.") }
    }

    /// The key's group, if it serves at all.
    package static func active(_ group: ServingGroup?) throws(GatewayError) -> ServingGroup {
        guard let group, group.snapshot.isActive else {
            throw GatewayError(.groupInactive, "The group of this API key is not active.")
        }
        return group
    }

    /// The group that a call is admitted to, billed and isolated by: the key's own, or where that is for Claude Code
    /// alone and the caller another program, the one that it falls back to.
    package static func group(
        of key: KeySnapshot,
        _ config: GatewayConfig,
        isClaudeCode: @autoclosure () -> Bool
    ) throws(GatewayError) -> ServingGroup {
        let own = try active(config.group(key.group))
        guard own.snapshot.isClaudeCodeOnly, !isClaudeCode() else { return own }
        guard let wanted = own.snapshot.fallbackGroup, let fallback = config.group(wanted),
            fallback.snapshot.platform == own.snapshot.platform, !fallback.snapshot.isClaudeCodeOnly
        else { throw GatewayError(.claudeCodeOnly, "This API key is for Claude Code only.") }
        return try active(fallback)
    }

    package static func check(_ group: ServingGroup, model: String) throws(GatewayError) {
        if !group.snapshot.modelAllowlist.isEmpty, !group.snapshot.modelAllowlist.contains(model) {
            throw GatewayError(.modelNotAllowed, "This API key may not use this model.", field: "model")
        }
    }

    /// A subscription to the group, where that takes one.
    package static func checkSubscription(_ key: KeySnapshot, _ group: ServingGroup, now: Timestamp)
        throws(GatewayError)
    {
        guard group.snapshot.isSubscription, key.subscription(to: group.id, at: now) == nil else { return }
        throw noSubscription
    }

    static var noSubscription: GatewayError {
        GatewayError(.subscriptionRequired, "This API key's group needs an active subscription.")
    }

    static func requireAntigravity(_ group: ServingGroup) throws(GatewayError) {
        guard group.snapshot.platform == .antigravity else {
            throw GatewayError(.accessDenied, "This path is for API keys of antigravity groups.")
        }
    }
}
