/// The prepared statements of one connection, by their text; the least recently used makes room.
struct StatementCache {
    private struct Entry {
        let name: String
        var lastUse: UInt64
    }
    private var entries: [String: Entry] = [:]
    private var uses: UInt64 = 0
    private var made: UInt64 = 0
    let capacity: Int

    init(capacity: Int = 256) { self.capacity = capacity }

    /// The name of the prepared statement.
    mutating func find(_ sql: String) -> String? {
        uses &+= 1
        guard let index = entries.index(forKey: sql) else { return nil }
        entries.values[index].lastUse = uses
        return entries.values[index].name
    }

    /// The statement to give up before another is prepared, when there are enough.
    func oldest() -> (sql: String, name: String)? {
        guard entries.count >= capacity, let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse }) else {
            return nil
        }
        return (oldest.key, oldest.value.name)
    }

    mutating func newName() -> String {
        made &+= 1
        return "tollgate_\(made)"
    }

    mutating func insert(_ sql: String, name: String) { entries[sql] = Entry(name: name, lastUse: uses) }
    mutating func remove(_ sql: String) { entries[sql] = nil }
}
