package import Domain
package import HTTPMessages
import Snapshots

/// What a call rests on: its key, the configuration, and the group in it that the call belongs to. Checked when made.
package struct Standing {
    package let key: ServingKey
    package let config: GatewayConfig
    /// The key's group, or the one it falls back to for this caller.
    package let group: ServingGroup
    /// Nil for calls that name no model.
    package let model: String?
    /// Whether it counts although the key has expired.
    package let allowsExpired: Bool

    /// - Parameter headers: the request's; they tell which program calls.
    /// - Throws: `GatewayError` when the group does not serve, or not this caller or model.
    package init(
        _ key: ServingKey,
        _ config: GatewayConfig,
        model: String?,
        _ headers: HeaderFields,
        allowsExpired: Bool = false
    ) throws(GatewayError) {
        self.allowsExpired = allowsExpired
        self.key = key
        self.config = config
        self.model = model
        group = try AdmissionPolicy.group(of: key.snapshot, config, isClaudeCode: ClaudeCode.isCaller(headers))
        if let model { try AdmissionPolicy.check(group, model: model) }
    }

    /// Whether nothing that admission compares has changed.
    package func isSame(as other: Standing) -> Bool {
        key.snapshot == other.key.snapshot && group.id == other.group.id
            && group.snapshot.revision == other.group.snapshot.revision
    }
}
