package import Snapshots

/// Which master key seals. Pure.
package enum SealingKeyChoice {
    /// The first of our own keys that every process can open secrets with; nil where there is none, and the present one
    /// stays.
    ///
    /// - Parameters:
    ///   - ids: our own keys, the one that shall seal first.
    ///   - nodes: all processes that live, we ourselves perhaps among them.
    package static func choose(_ ids: [String], _ nodes: [NodeSign]) -> String? {
        ids.first { id in nodes.allSatisfy { $0.masterKeys.contains(id) } }
    }
}
