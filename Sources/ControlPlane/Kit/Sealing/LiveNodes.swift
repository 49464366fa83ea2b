package import Redis
package import Snapshots

/// The processes that run now, as they say of themselves.
package enum LiveNodes {
    /// - Throws: `RedisError`.
    package static func read(_ redis: RedisClient) async throws -> [NodeSign] {
        let ids = try await redis.send(RedisCommand(["SMEMBERS", RedisNames.nodes])).array?.compactMap(\.text) ?? []
        var signs: [NodeSign] = []
        for id in ids {
            let answer = try await redis.send(RedisCommand(["GET", RedisNames.node(id)]))
            if let sign = answer.bytes.flatMap({ NodeSign($0) }) {
                signs.append(sign)
            } else {
                // It has ended. One that lives puts itself back within a moment.
                _ = try await redis.send(RedisCommand(["SREM", RedisNames.nodes, id]))
            }
        }
        return signs
    }
}
