import Domain
import Formats
import HTTPMessages

/// Reads when a limit ends, however an upstream puts it. Ends that are over count as none; what makes no sense is passed
/// over and kept in `ignored`.
struct ResetReader {
    let now: Timestamp
    private(set) var ignored: [IgnoredValue] = []

    init(now: Timestamp) { self.now = now }

    /// What is stated beyond this is not believed.
    static let farthest = Duration.seconds(8 * 86_400)
    /// From here on a number is milliseconds since 1970: in seconds it would be the year 5138.
    private static let firstMilliseconds: Int64 = 100_000_000_000
    private static let second: Int64 = 1_000_000

    /// A point in time: seconds or milliseconds since 1970, or RFC 3339.
    mutating func time(_ text: String?, _ field: String) -> Timestamp? {
        guard let text, !text.isEmpty else { return nil }
        switch Decimal(text) {
        case .value(let value): return accept(Self.sinceEpoch(value), text, field)
        case .negative: return ignore(field, text, .negative)
        case .huge: return ignore(field, text, .tooFar)
        case nil:
            guard let time = RFC3339.parse(text) ?? HTTPDate.parse(text) else {
                return ignore(field, text, .unreadable)
            }
            return accept(time, text, field)
        }
    }

    /// So long from now: seconds, or a duration such as `1h2m3.5s` or `250ms`.
    mutating func delay(_ text: String?, _ field: String) -> Timestamp? {
        guard let text, !text.isEmpty else { return nil }
        switch Decimal(text) ?? Decimal(duration: text) {
        case .value(let value): return accept(delay: value, text, field)
        case .negative: return ignore(field, text, .negative)
        case .huge: return ignore(field, text, .tooFar)
        case nil: return ignore(field, text, .unreadable)
        }
    }

    mutating func time(_ json: JSON?, _ field: String) -> Timestamp? { time(Self.text(json), field) }
    mutating func delay(_ json: JSON?, _ field: String) -> Timestamp? { delay(Self.text(json), field) }

    /// `retry-after` (RFC 9110, 10.2.3), or what some APIs send beside it for the sake of precision.
    mutating func retryAfter(_ headers: HeaderFields) -> Timestamp? {
        if let text = headers["retry-after-ms"] {
            if case .value(let value)? = Decimal(text) {
                if let end = accept(delay: value / 1000, text, "retry-after-ms") { return end }
            } else {
                _ = ignore("retry-after-ms", text, .unreadable)
            }
        }
        guard let text = headers["retry-after"] else { return nil }
        return HTTPDate.parse(text).map { accept($0, text, "retry-after") } ?? delay(text, "retry-after")
    }

    // MARK: Bounds

    private mutating func accept(delay: Int64, _ text: String, _ field: String) -> Timestamp? {
        let (end, isOver) = now.microseconds.addingReportingOverflow(delay)
        return isOver ? ignore(field, text, .tooFar) : accept(end, text, field)
    }

    private mutating func accept(_ microseconds: Int64, _ text: String, _ field: String) -> Timestamp? {
        let end = Timestamp(microseconds: microseconds)
        if end > now + Self.farthest { return ignore(field, text, .tooFar) }
        return end > now ? end : nil
    }

    private mutating func ignore(_ field: String, _ text: String, _ fault: IgnoredValue.Fault) -> Timestamp? {
        let value = IgnoredValue(field, text, fault)
        // A field can be asked for twice.
        if ignored.count < 16, !ignored.contains(value) { ignored.append(value) }
        return nil
    }

    /// Microseconds since 1970. `value` is in millionths.
    private static func sinceEpoch(_ value: Int64) -> Int64 {
        value / second > firstMilliseconds ? value / 1000 : value
    }

    private static func text(_ json: JSON?) -> String? {
        switch json {
        case .int(let value): String(value)
        case .double(let value): Decimal.text(value)
        case .string(let text): text
        case .null, nil: nil
        case .bool, .array, .object: "?"
        }
    }
}
