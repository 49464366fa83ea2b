import Formats

extension JSONValue? {
    /// The elements of an array; none of anything else.
    var items: [JSONValue] { self.map { Array($0.elements) } ?? [] }
}
