package import Redis
package import Snapshots

/// The processes that run now, as they say of themselves.
package enum LiveNodes {
    /// - Throws: `RedisError`.
    package static func read(_ redis: RedisClient) async throws -> [NodeSign] {
        let known = try await redis.send(RedisCommand(["HGETALL", RedisNames.nodes])).array ?? []
        var signs: [NodeSign] = []
        // Names and values in turn.
        for index in stride(from: 0, to: known.count, by: 2) {
            guard let id = known[index].text else { continue }
            let answer = try await redis.send(RedisCommand(["GET", RedisNames.node(id)]))
            if let sign = answer.bytes.flatMap({ NodeSign($0) }) {
                signs.append(sign)
            } else {
                // It has ended. One that lives puts itself back within a moment.
                _ = try await redis.send(RedisCommand(["HDEL", RedisNames.nodes, id]))
            }
        }
        return signs
    }
}
