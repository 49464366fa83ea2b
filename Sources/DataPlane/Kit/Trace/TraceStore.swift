package import Bytes
package import Reactor
package import Redis
import Snapshots

/// Keeps the traces of calls in Redis, within a bound of its memory: they are written into one of a few hashes, and when
/// that is full into the next one, for which the oldest goes.
///
/// Nothing waits for it, and nothing depends on it: a trace that cannot be kept is not missed by the call.
package final class TraceStore: RedisGatherer {
    /// How often a loop looks how large the present hash has become, in traces.
    private static let measuredEvery = 32
    /// How long it does not look, however few it keeps.
    private static let unmeasuredSeconds = 600
    /// How long a hash is kept after that: each trace in it a day at least.
    private static let lifetime = String(86_400 + unmeasuredSeconds)

    private let redis: RedisClient
    private var generation: Int64? {
        didSet { name = RedisNames.traces(generation ?? 0) }
    }
    /// Of the present hash.
    private var name = ""
    private var written = 0
    /// When the present hash was last measured, and its life renewed; nil for not yet.
    private var measuredAt: MonotonicTime?
    /// When the last trace came.
    private var keptAt = MonotonicTime.now
    private var isAsking = false
    /// Request ids and traces of this turn.
    private var gathered = RedisArguments()
    /// What all hashes together may take, in bytes; 0 keeps no traces.
    package var memory = 0

    package init(_ redis: RedisClient) { self.redis = redis }

    package var isOn: Bool { memory > 0 && redis.isConnected }

    package func keep(_ requestID: String, _ trace: [UInt8], at now: MonotonicTime = .now) {
        keep(requestID, atMost: trace.count, at: now) { out in trace.withUnsafeBytes { out.write($0) } }
    }

    /// Keeps the trace that `write` writes, of at most so many bytes.
    package func keep(
        _ requestID: String,
        atMost most: Int,
        at now: MonotonicTime = .now,
        _ write: (inout ByteCursor) -> Void
    ) {
        guard generation != nil else {
            var trace: [UInt8] = []
            trace.append(atMost: most, write)
            return find(requestID, trace, at: now)
        }
        keptAt = now
        gathered.add(requestID)
        gathered.add(atMost: most, write)
        if gathered.count == 2 { redis.gather(self) }
        if gathered.count == 2 * Self.measuredEvery { writeGathered() }
    }

    /// The traces of a turn leave in one command.
    package func writeGathered() {
        guard let generation, gathered.count > 0 else { return gathered.clear() }
        let before = written
        written += gathered.count / 2
        let size = 4 + name.utf8.count + 2 * RedisWriter.overhead + gathered.size
        redis.send(2 + gathered.count, atMost: size) { command in
            command.add("HSET")
            command.add(name)
            command.add(contentsOf: gathered)
        } then: { _ in
        }
        gathered.clear()
        // The first one in a hash gives it its life, and later ones renew it.
        let isDue = measuredAt.map { keptAt - $0 >= .seconds(Self.unmeasuredSeconds) } ?? true
        if isDue || before / Self.measuredEvery != written / Self.measuredEvery { measure(generation) }
    }

    /// Learns which hash is the present one; traces of that moment but the first are not kept.
    private func find(_ requestID: String, _ trace: [UInt8], at now: MonotonicTime) {
        guard !isAsking else { return }
        isAsking = true
        redis.send(RedisCommand(["GET", RedisNames.traceGeneration])) { [self] answer in
            isAsking = false
            guard case .success(let value) = answer else { return }
            generation = value.text.flatMap { Int64($0) } ?? 0
            keep(requestID, trace, at: now)
        }
    }

    private func measure(_ generation: Int64) {
        measuredAt = keptAt
        redis.run(
            TraceScripts.turn,
            keys: [RedisNames.traceGeneration],
            arguments: [
                String(generation), RedisNames.tracesPrefix, String(memory / RedisNames.traceGenerations),
                String(RedisNames.traceGenerations), Self.lifetime,
            ]
        ) { [self] answer in
            guard case .success(let value) = answer, let now = value.integer, now != self.generation else { return }
            self.generation = now
            (written, measuredAt) = (0, nil)
        }
    }

    /// To be called at each new connection: the Redis may be another one.
    package func forget() { (generation, measuredAt) = (nil, nil) }
}

package enum TraceScripts {
    /// Renews the life of the hash that the worker writes to, and goes on to the next one where it is the present one and
    /// full. Keys: the number of the present hash. Arguments: the number that the worker knows, how hashes are named,
    /// bytes that one may take, how many there are, life in seconds.
    /// Answer: the number of the present hash. All of it has one hash tag.
    package static let turn = RedisScript(
        name: "turn",
        source: """
            local name = ARGV[2] .. ARGV[1]
            redis.call('EXPIRE', name, ARGV[5])
            local present = tonumber(redis.call('GET', KEYS[1]) or '0')
            if present ~= tonumber(ARGV[1]) then return present end
            if (redis.call('MEMORY', 'USAGE', name) or 0) < tonumber(ARGV[3]) then return present end
            present = redis.call('INCR', KEYS[1])
            redis.call('UNLINK', ARGV[2] .. present - tonumber(ARGV[4]))
            return present
            """
    )
}
