import Domain
import Formats
import HTTPMessages

/// Reads when a limit ends, however an upstream puts it. Ends that are over count as none; what makes no sense is passed
/// over and kept in `ignored`.
struct ResetReader {
    let now: Timestamp
    private(set) var ignored: [IgnoredValue] = []

    init(now: Timestamp) { self.now = now }

    /// No window of any provider is longer than seven days.
    private static let farthest = Duration.seconds(8 * 86_400)
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

/// A decimal number in millionths, as it can stand in headers and bodies.
enum Decimal: Equatable {
    case value(Int64)
    /// Below zero.
    case negative
    /// Beyond what counts.
    case huge

    /// Digits with at most one sign and one fraction, spaces around; nil for anything else.
    init?(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while bytes.first == 0x20 { bytes = bytes.dropFirst() }
        while bytes.last == 0x20 { bytes = bytes.dropLast() }
        let isNegative = bytes.first == UInt8(ascii: "-")
        if isNegative || bytes.first == UInt8(ascii: "+") { bytes = bytes.dropFirst() }
        guard let value = Self.number(&bytes), bytes.isEmpty else { return nil }
        self = isNegative && value != .value(0) ? .negative : value
    }

    /// A Go or protobuf duration, in millionths of a second.
    init?(duration text: String) {
        var bytes = Array(text.utf8)[...]
        let isNegative = bytes.first == UInt8(ascii: "-")
        if isNegative { bytes = bytes.dropFirst() }
        guard !bytes.isEmpty else { return nil }
        var sum: Int64 = 0
        var isHuge = false
        while !bytes.isEmpty {
            guard let number = Self.number(&bytes), let unit = Self.unit(&bytes) else { return nil }
            switch number {
            case .value(let value):
                let part =
                    unit.isDivisor ? (value / unit.factor, false) : value.multipliedReportingOverflow(by: unit.factor)
                let total = sum.addingReportingOverflow(part.0)
                isHuge = isHuge || part.1 || total.overflow
                sum = total.partialValue
            case .huge, .negative: isHuge = true
            }
        }
        self = isNegative ? .negative : isHuge ? .huge : .value(sum)
    }

    /// Digits with a fraction at the beginning of `bytes`.
    private static func number(_ bytes: inout ArraySlice<UInt8>) -> Decimal? {
        var value: Int64 = 0
        var isHuge = false
        func add(_ digit: UInt8) {
            let (product, isOver) = value.multipliedReportingOverflow(by: 10)
            let (sum, isOverToo) = product.addingReportingOverflow(Int64(digit &- 0x30))
            isHuge = isHuge || isOver || isOverToo
            value = sum
        }
        let digits = bytes.prefix { $0 &- 0x30 < 10 }
        guard !digits.isEmpty else { return nil }
        for digit in digits { add(digit) }
        bytes = bytes[digits.endIndex...]
        var places = 6
        if bytes.first == UInt8(ascii: ".") {
            let fraction = bytes.dropFirst().prefix { $0 &- 0x30 < 10 }
            guard !fraction.isEmpty else { return nil }
            for digit in fraction.prefix(places) { add(digit) }
            places -= min(fraction.count, places)
            bytes = bytes[fraction.endIndex...]
        }
        for _ in 0..<places { add(0x30) }
        return isHuge ? .huge : .value(value)
    }

    /// What a unit multiplies seconds by, or divides them by.
    private static func unit(_ bytes: inout ArraySlice<UInt8>) -> (factor: Int64, isDivisor: Bool)? {
        let name = bytes.prefix { $0 &- 0x30 >= 10 && $0 != UInt8(ascii: ".") }
        bytes = bytes[name.endIndex...]
        return switch String(decoding: name, as: UTF8.self) {
        case "d": (86_400, false)
        case "h": (3600, false)
        case "m": (60, false)
        case "s": (1, false)
        case "ms": (1000, true)
        case "us", "µs", "μs": (1_000_000, true)
        case "ns": (1_000_000_000, true)
        default: nil
        }
    }

    /// A JSON number with a fraction or an exponent as such a text.
    static func text(_ value: Double) -> String {
        guard value.magnitude < 9e12 else { return value < 0 ? "-1" : "9999999999999999999" }
        let whole = Int64(value.magnitude * 1_000_000)
        let fraction = String(whole % 1_000_000)
        return (value < 0 ? "-" : "") + "\(whole / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count)
            + fraction
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
enum HTTPDate {
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// Microseconds since 1970; nil for anything else.
    static func parse(_ text: String) -> Int64? {
        let words = text.split(separator: " ")
        guard words.count == 6, words[0].hasSuffix(","), words[5] == "GMT",
            let month = months.firstIndex(where: { $0 == words[2] }), words[1].utf8.count == 2, words[3].utf8.count == 4
        else { return nil }
        let number = month < 9 ? "0\(month + 1)" : "\(month + 1)"
        return RFC3339.parse("\(words[3])-\(number)-\(words[1])T\(words[4])Z")
    }
}
