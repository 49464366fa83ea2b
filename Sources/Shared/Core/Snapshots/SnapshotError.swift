/// Why a published text is not used.
package enum SnapshotError: Error, Equatable, CustomStringConvertible {
    /// Not signed with this key for this kind and subject, or changed since.
    case badSignature
    case notJSON
    /// Written in a format that this build does not read; nil when it says none.
    case unknownFormat(Int64?)
    /// The field at this path, `accounts[3].platform`, is missing or has another type.
    case missing(String)
    /// The field's value is outside what it may be.
    case invalid(String)

    package var description: String {
        switch self {
        case .badSignature: "bad signature"
        case .notJSON: "not JSON"
        case .unknownFormat(let format): "unknown format \(format.map { String($0) } ?? "(none)")"
        case .missing(let field): "\(field) is missing or has the wrong type"
        case .invalid(let field): "\(field) has an invalid value"
        }
    }
}
