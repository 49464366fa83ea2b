import GatewayKit
import TestSupport
import Testing

@Suite("The bounded cache")
struct GenerationCacheTests {
    @Test(
        "it never answers with anything but what was put in last, and stays within its capacity",
        arguments: [
            2, 3, 8, 64,
        ]
    )
    func model(capacity: Int) {
        var random = SeededGenerator(seed: UInt64(capacity))
        var cache = GenerationCache<Int, Int>(capacity: capacity)
        var model: [Int: Int] = [:]
        for step in 0..<20_000 {
            let key = Int.random(in: 0..<(capacity * 2), using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<4:
                cache.insert(step, for: key)
                model[key] = step
                #expect(cache.value(for: key) == step)
            case 4..<9:
                if let value = cache.value(for: key) { #expect(value == model[key]) }
            default:
                cache.remove(key)
                model[key] = nil
                #expect(cache.value(for: key) == nil)
            }
            #expect(cache.count <= capacity)
        }
    }

    @Test("what is used again and again survives any number of others")
    func survival() {
        var cache = GenerationCache<Int, String>(capacity: 10)
        cache.insert("kept", for: -1)
        for other in 0..<1000 {
            cache.insert("other", for: other)
            #expect(cache.value(for: -1) == "kept")
        }
    }

    @Test("what was not used goes after at most the capacity of others, not before half of it")
    func forgetting() {
        var cache = GenerationCache<Int, Int>(capacity: 100)
        cache.insert(1, for: -1)
        for other in 0..<50 { cache.insert(other, for: other) }
        var copy = cache
        #expect(copy.value(for: -1) == 1)
        for other in 50..<100 { cache.insert(other, for: other) }
        #expect(cache.value(for: -1) == nil)
    }
}
