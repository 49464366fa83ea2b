package import Formats

extension JSONValue {
    /// The text of a string, lent; nil for any other kind.
    package var lent: LentText? { stringBytes.map { LentText($0) } }

    /// A token count: nothing negative, nothing absurd.
    package var tokenCount: Int64? {
        guard let count = int64, (0...1_000_000_000_000).contains(count) else { return nil }
        return count
    }
}
