import Formats

/// A process' sign of life: what the others must know of it while it runs.
package struct NodeSign: Hashable, Sendable {
    /// Seconds that a sign lasts. Whoever runs gives it much more often.
    package static let lifetime = "15"

    package var id: String
    /// `worker` or `control`.
    package var kind: String
    /// Milliseconds since 1970.
    package var startedAt: Int64
    /// The configuration that it serves; a control plane has none.
    package var snapshot: String?
    /// The newest format of snapshots that it reads.
    package var format: Int
    /// The ids of the master keys that it can open secrets with.
    package var masterKeys: [String]

    package init(
        id: String,
        kind: String,
        startedAt: Int64,
        snapshot: String? = nil,
        format: Int = SnapshotFormat.current,
        masterKeys: [String]
    ) {
        self.id = id
        self.kind = kind
        self.startedAt = startedAt
        self.snapshot = snapshot
        self.format = format
        self.masterKeys = masterKeys
    }

    /// JSON.
    package var text: String {
        var json: JSON = [
            "id": .string(id), "kind": .string(kind), "started_ms": .int(startedAt), "format": .int(Int64(format)),
            "master_keys": .array(masterKeys.map { .string($0) }),
        ]
        json["snapshot"] = snapshot.map { .string($0) }
        return String(decoding: json.encoded, as: UTF8.self)
    }

    /// Nil for what is no sign. One that does not name its keys has none that is known.
    package init?(_ text: [UInt8]) {
        guard let json = try? JSON(text), let id = json["id"]?.string, let kind = json["kind"]?.string else {
            return nil
        }
        self.init(
            id: id,
            kind: kind,
            startedAt: json["started_ms"]?.int64 ?? 0,
            snapshot: json["snapshot"]?.string,
            format: json["format"]?.int64.flatMap { Int(exactly: $0) } ?? 0,
            masterKeys: json["master_keys"]?.array?.compactMap(\.string) ?? []
        )
    }

    /// The commands by which a process that ends takes its sign back.
    package static func withdrawal(of id: String) -> [[String]] {
        [["DEL", RedisNames.node(id)], ["HDEL", RedisNames.nodes, id]]
    }

    /// The commands that give it.
    package var commands: [[String]] {
        [["SET", RedisNames.node(id), text, "EX", Self.lifetime], ["HSET", RedisNames.nodes, id, kind]]
    }
}
