package import Domain
import Snapshots

/// What a call rests on: its key, the configuration, and the key's group in it. Checked when made.
package struct Standing {
    package let key: ServingKey
    package let config: GatewayConfig
    package let group: ServingGroup
    /// Nil for calls that name no model.
    package let model: String?
    /// Whether it counts although the key has expired.
    package let allowsExpired: Bool

    /// - Throws: `GatewayError` when the group does not serve, or not this model.
    package init(_ key: ServingKey, _ config: GatewayConfig, model: String?, allowsExpired: Bool = false)
        throws(GatewayError)
    {
        self.allowsExpired = allowsExpired
        self.key = key
        self.config = config
        self.model = model
        let group = config.group(key.snapshot.group)
        self.group =
            if let model {
                try AdmissionPolicy.check(group, model: model)
            } else {
                try AdmissionPolicy.active(group)
            }
    }

    /// Whether nothing that admission compares has changed.
    package func isSame(as other: Standing) -> Bool {
        key.snapshot == other.key.snapshot && group.snapshot.revision == other.group.snapshot.revision
    }
}
