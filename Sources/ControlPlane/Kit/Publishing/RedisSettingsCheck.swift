package import Redis
package import Telemetry

/// Looks whether this Redis can be trusted with records that are nowhere else yet.
package enum RedisSettingsCheck {
    /// What is wrong with the settings, each as a sentence. Pure.
    package static func faults(policy: String?, appendOnly: String?, sync: String?) -> [StaticString] {
        var faults: [StaticString] = []
        if let policy, policy != "noeviction" {
            faults.append("Redis may evict data: set maxmemory-policy to noeviction, or usage records will be lost")
        }
        if let appendOnly, appendOnly != "yes" {
            faults.append("Redis keeps nothing over a restart: set appendonly to yes, or usage records will be lost")
        }
        if appendOnly == "yes", sync == "no" {
            faults.append("Redis writes its log when it pleases: set appendfsync to everysec or always")
        }
        return faults
    }

    package static func run(_ redis: RedisClient, log: Log) async {
        do {
            let policy = try await setting("maxmemory-policy", redis)
            let appendOnly = try await setting("appendonly", redis)
            let sync = try await setting("appendfsync", redis)
            for fault in faults(policy: policy, appendOnly: appendOnly, sync: sync) { log.error(fault) }
        } catch {
            log.warning("the settings of Redis could not be read", ["error": "\(error)"])
        }
    }

    private static func setting(_ name: String, _ redis: RedisClient) async throws -> String? {
        try await redis.send(RedisCommand(["CONFIG", "GET", name])).array?.last?.text
    }
}
