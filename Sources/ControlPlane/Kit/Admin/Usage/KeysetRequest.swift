import Formats
import HTTPMessages

/// A page by cursor that was asked for.
struct KeysetRequest {
    private(set) var size: Int64 = 50
    private(set) var cursor: UsageStore.Cursor?
    private(set) var conditions: Conditions

    static func parameters(_ filters: [ListRules.Filter]) -> [QueryParameter] {
        [
            QueryParameter("cursor", Schema.text, "The next_cursor of the page before."),
            QueryParameter(
                "page_size",
                ["type": "integer", "minimum": 1, "maximum": .int(ListRules.pageSizes.upperBound), "default": 50],
                "Items on a page."
            ),
        ] + filters.map { QueryParameter($0.name, $0.schema, $0.summary) }
    }

    /// - Throws: `Problem` with every fault.
    init(_ head: HTTPRequestHead, _ filters: [ListRules.Filter], where base: Conditions) throws {
        conditions = base
        var faults: [FieldFault] = []
        var seen: Set<String> = []
        for (name, value) in QueryValues(head).pairs {
            guard seen.insert(name).inserted else {
                faults.append(FieldFault(name, "stands twice"))
                continue
            }
            guard !value.utf8.contains(0) else {
                faults.append(FieldFault(name, "must not have control characters"))
                continue
            }
            if let fault = apply(name, value, filters) { faults.append(FieldFault(name, fault)) }
        }
        if !faults.isEmpty { throw Problem.invalid(faults) }
    }

    private mutating func apply(_ name: String, _ value: String, _ filters: [ListRules.Filter]) -> String? {
        switch name {
        case "page_size":
            guard let number = Int64(value), ListRules.pageSizes.contains(number) else {
                return "must be from 1 to \(ListRules.pageSizes.upperBound)"
            }
            size = number
        case "cursor":
            guard let found = UsageStore.Cursor(value) else { return "is not a cursor" }
            cursor = found
        default:
            guard let filter = filters.first(where: { $0.name == name }) else { return "is not a known parameter" }
            return filter.apply(value, &conditions)
        }
        return nil
    }
}
