/// How an upstream has served a call, where that has prices of its own. What upstreams call `default`, `auto`, `scale`
/// and the like is the standard one.
package enum ServiceTier: String, Sendable, CaseIterable {
    case standard
    /// Cheaper, when there is room.
    case flex
    /// Faster, at a premium.
    case priority
}
