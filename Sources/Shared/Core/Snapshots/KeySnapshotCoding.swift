import Domain
import Formats

extension KeySnapshot {
    func write(to json: inout JSONWriter, format: Int) {
        json.object {
            $0.member("format", format)
            $0.member("revision", revision)
            $0.member("user_revision", userRevision)
            $0.member("id", id.raw)
            $0.member("user_id", user.raw)
            $0.member("group_id", group.raw)
            $0.member("active", isActive)
            $0.member("user_active", isUserActive)
            $0.member("expires_at", expiresAt?.microseconds)
            $0.texts("ip_whitelist", ipWhitelist)
            $0.texts("ip_blacklist", ipBlacklist)
            $0.member("concurrency", concurrency)
            $0.member("user_concurrency", userConcurrency)
            $0.member("rpm", rpm)
            $0.member("tpm", tpm)
            $0.member("user_rpm", userRPM)
            $0.member("quota", quota?.raw)
            if let policy {
                $0.key("policy")
                policy.write(to: &$0)
            }
            if !subscriptions.isEmpty {
                $0.key("subscriptions")
                $0.array { json in for subscription in subscriptions { subscription.write(to: &json) } }
            }
        }
    }

    init(_ fields: FieldReader, hash: String) throws(SnapshotError) {
        func limit(_ name: StaticString) throws(SnapshotError) -> Int {
            Int(try fields.int(name, in: 0...Int64(Int32.max)))
        }
        self.init(
            id: try fields.id("id"),
            hash: hash,
            revision: try fields.int("revision", in: 0...Int64.max),
            user: try fields.id("user_id"),
            userRevision: try fields.int("user_revision", in: 0...Int64.max),
            group: try fields.id("group_id"),
            isActive: try fields.bool("active"),
            isUserActive: try fields.bool("user_active"),
            expiresAt: try fields.optionalTime("expires_at"),
            ipWhitelist: try fields.texts("ip_whitelist"),
            ipBlacklist: try fields.texts("ip_blacklist"),
            concurrency: try limit("concurrency"),
            userConcurrency: try limit("user_concurrency"),
            rpm: try limit("rpm"),
            tpm: try limit("tpm"),
            userRPM: try limit("user_rpm"),
            quota: try fields.optionalInt("quota", in: 0...NanoUSD.maximum.raw).map { NanoUSD($0) },
            policy: try fields.optionalObject("policy").map { (policy) throws(SnapshotError) in try KeyPolicy(policy) },
            subscriptions: try fields.optionalObjects("subscriptions") { (subscription) throws(SnapshotError) in
                try SubscriptionSnapshot(subscription)
            }
        )
    }
}

extension KeyPolicy {
    fileprivate func write(to json: inout JSONWriter) {
        json.object {
            // A month has no number of minutes.
            if case .minutes(let minutes) = period { $0.member("minutes", minutes) }
            $0.member("anchor", anchor.microseconds)
            $0.member("quota", quota.raw)
            $0.member("boundary", boundary.rawValue)
            $0.member("action", action.rawValue)
            $0.member("resumes", resumesByItself)
            $0.member("version", version)
            $0.member("reset_epoch", resetEpoch)
        }
    }

    fileprivate init(_ fields: FieldReader) throws(SnapshotError) {
        self.init(
            period: try fields.optionalInt("minutes", in: 1...525_600).map { .minutes($0) } ?? .month,
            anchor: try fields.time("anchor"),
            quota: NanoUSD(try fields.int("quota", in: 0...NanoUSD.maximum.raw)),
            boundary: try fields.choice("boundary"),
            action: try fields.choice("action"),
            resumesByItself: try fields.bool("resumes"),
            version: try fields.int("version", in: 0...Int64.max),
            resetEpoch: try fields.int("reset_epoch", in: 0...Int64.max)
        )
    }
}

extension SubscriptionSnapshot {
    fileprivate func write(to json: inout JSONWriter) {
        json.object {
            $0.member("id", id.raw)
            $0.member("group_id", group.raw)
            $0.member("starts_at", startsAt.microseconds)
            $0.member("expires_at", expiresAt.microseconds)
        }
    }

    fileprivate init(_ fields: FieldReader) throws(SnapshotError) {
        self.init(
            id: try fields.id("id"),
            group: try fields.id("group_id"),
            startsAt: try fields.time("starts_at"),
            expiresAt: try fields.time("expires_at")
        )
    }
}

extension CredentialEntry {
    func write(to json: inout JSONWriter, format: Int) {
        json.object {
            $0.member("format", format)
            $0.member("version", version)
            $0.member("account", account.raw)
            if secretsVersion != version { $0.member("secrets_version", secretsVersion) }
            if let expiresAt { $0.member("expires_at", expiresAt.microseconds) }
            $0.member("sealed", sealed)
        }
    }

    init(_ fields: FieldReader, account: AccountID) throws(SnapshotError) {
        self.init(
            account: account,
            version: try fields.int("version", in: 0...Int64.max),
            secretsVersion: try fields.optionalInt("secrets_version", in: 0...Int64.max),
            expiresAt: try fields.optionalTime("expires_at"),
            sealed: try fields.text("sealed")
        )
    }
}
