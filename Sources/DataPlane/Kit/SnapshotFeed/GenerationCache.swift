/// A bounded cache that forgets what was not used for longest, in two generations.
///
/// New and used entries stand in the young one; when that has half of the capacity, it becomes the old one and what was
/// old is forgotten. Everything is constant time, and an entry in use survives.
package struct GenerationCache<Key: Hashable, Value> {
    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]
    private let generationCapacity: Int

    package init(capacity: Int) { generationCapacity = max(1, capacity / 2) }

    package var count: Int { young.count + old.count }

    package mutating func value(for key: Key) -> Value? {
        if let value = young[key] { return value }
        guard let value = old.removeValue(forKey: key) else { return nil }
        insert(value, for: key)
        return value
    }

    package mutating func insert(_ value: Value, for key: Key) {
        old.removeValue(forKey: key)
        if young.count >= generationCapacity, young[key] == nil {
            old = young
            young = [:]
        }
        young[key] = value
    }

    package mutating func remove(_ key: Key) {
        young.removeValue(forKey: key)
        old.removeValue(forKey: key)
    }
}
