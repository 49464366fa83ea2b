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
