package import Redis
import Snapshots
package import Telemetry

/// Has a Redis that was started again write its log anew, once a run.
///
/// A log may end within a step, where the machine lost its power. Redis, at least to 7.0, then cuts the log behind the
/// last whole command instead of before the step: it has nothing of that step in its memory, but writes on behind the
/// step's beginning. The next time it loads this log, it carries out that beginning together with the step that follows:
/// half a settlement, half a reservation. A log that is written anew has what is in memory, and nothing else.
package enum RedisLogRenewal {
    /// Whether the log is to be written anew in this run. Keys: the mark. Arguments: the run.
    ///
    /// It writes twice, so that the log has the end of a step: while it is written anew the old one stays in use with
    /// another behind it, and Redis refuses to load what lacks an end there.
    package static let begin = RedisScript(
        name: "begin_log_renewal",
        source: """
            if redis.call('HGET', KEYS[1], 'done') == ARGV[1] then return 0 end
            redis.call('HSET', KEYS[1], 'begun', ARGV[1])
            redis.call('HINCRBY', KEYS[1], 'count', '1')
            return 1
            """
    )

    package static func run(_ redis: RedisClient, log: Log) async {
        do {
            let information = try await redis.send(RedisCommand(["INFO"])).text ?? ""
            guard let run = run(in: information),
                try await redis.run(begin, keys: [RedisNames.logRenewal], arguments: [run]).integer == 1
            else { return }
            _ = try await redis.send(RedisCommand(["BGREWRITEAOF"]))
            _ = try await redis.send(RedisCommand(["HSET", RedisNames.logRenewal, "done", run]))
        } catch {
            log.warning(
                "Redis did not write its log anew: if it had lost the end of it, a further restart may harm counters",
                ["error": "\(error)"]
            )
        }
    }

    /// The run of a Redis that keeps a log, as `INFO` tells it. Pure.
    static func run(in information: String) -> String? {
        var fields: [Substring: Substring] = [:]
        for line in information.split(whereSeparator: \.isNewline) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[line[..<colon]] = line[line.index(after: colon)...]
        }
        guard fields["aof_enabled"] == "1" else { return nil }
        return fields["run_id"].map { String($0) }
    }
}
