import Domain
package import Formats

/// An API key in answers. The key itself is in the answer to creation and rotation alone.
package enum KeyView {
    package static var view: View<KeyRecord> {
        View([
            .init("id", Schema.id) { .int($0.id.raw) },
            .init("name", Schema.text) { .string($0.fields.name) },
            .init("user_id", Schema.id) { .int($0.fields.user) },
            .init("group_id", Schema.id) { .int($0.fields.group) },
            .init("key_prefix", Schema.text) { .string($0.prefix) },
            .init("status", Schema.choice(KeyStatus.allCases.map(\.rawValue))) { .string($0.fields.status.rawValue) },
            .init("display_status", Schema.choice(KeyDisplayStatus.allCases.map(\.rawValue))) {
                .string($0.displayStatus.rawValue)
            },
            .init("quota", Schema.money.nullable) { .money($0.fields.quota) },
            .init("quota_used", Schema.money) { .money($0.quotaUsed) },
            .init("expires_at", Schema.time.nullable) { .time($0.fields.expiresAt) },
            .init("ip_whitelist", Schema.array(of: Schema.text)) { .array($0.fields.ipWhitelist.map { .string($0) }) },
            .init("ip_blacklist", Schema.array(of: Schema.text)) { .array($0.fields.ipBlacklist.map { .string($0) }) },
            .init("concurrency", Schema.integer) { .int($0.fields.concurrency) },
            .init("rpm", Schema.integer) { .int($0.fields.rpm) },
            .init("tpm", Schema.integer) { .int($0.fields.tpm) },
            .init("policy", PolicyForm.view.schema.nullable) { key in
                key.policy.map { PolicyForm.view.json(PolicyForm.Shown(policy: $0, now: key.readAt)) } ?? .null
            },
            .init("last_used_at", Schema.time.nullable) { .time($0.lastUsedAt) },
            .init("created_at", Schema.time) { .time($0.createdAt) },
            .init("updated_at", Schema.time) { .time($0.updatedAt) },
        ])
    }

    /// The schema of the two answers that have the key.
    package static var schemaWithKey: JSON {
        var schema = view.schema
        var properties = schema["properties"] ?? [:]
        properties["key"] = ["type": "string", "description": "Shown once."]
        schema["properties"] = properties
        return schema
    }

    package static func json(_ record: KeyRecord, key: String) -> JSON {
        var json = view.json(record)
        json["key"] = .string(key)
        return json
    }
}
