/// What can be asked of a value of a document, whether that was decoded or not.
package protocol JSONReadable {
    var isString: Bool { get }
    var isObject: Bool { get }
    /// The value of a number written without fraction or exponent that fits.
    var int64: Int64? { get }
    /// The text of a string, decoded.
    var string: String? { get }
    /// Whether this is a string of exactly this text.
    func equals(_ text: StaticString) -> Bool
    /// The first member of an object with this key; nil for other kinds.
    subscript(_ key: StaticString) -> Self? { get }
    /// The elements of an array, in order; none for other kinds.
    func forEachElement(_ body: (Self) -> Void)
}

extension JSONValue: JSONReadable {}
extension JSONSourceValue: JSONReadable {}
