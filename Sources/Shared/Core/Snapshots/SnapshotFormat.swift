/// The format of what is published.
///
/// A worker reads one format, its own, and says so once a second. A publisher writes the current one, and of the older
/// ones that it still knows those that live workers read; what it does not write in a format it removes there, so that
/// no worker of another version goes on with what is over. A change of the format keeps the writers of the one before
/// until no worker of the last version runs.
package enum SnapshotFormat {
    package static let current = 1
    /// What this version can write, the current one first.
    package static let written = [current]
    /// How long after a worker's last word its format is still written, in seconds.
    package static let lifetime = 300

    /// The field of a question to the control plane that names the format of the answer.
    package static let field = "x-tollgate-format"
}

/// The scripts by which workers say what they read. Redis' clock counts, not the nodes'.
package enum SnapshotFormatScripts {
    /// Keys: the formats. Arguments: the one that is read.
    package static let announce = """
        redis.call('ZADD', KEYS[1], redis.call('TIME')[1], ARGV[1])
        return 1
        """

    /// Keys: the formats. Answer: those that live workers read.
    package static let list = """
        local now = redis.call('TIME')[1]
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now - \(SnapshotFormat.lifetime))
        return redis.call('ZRANGE', KEYS[1], 0, -1)
        """
}
