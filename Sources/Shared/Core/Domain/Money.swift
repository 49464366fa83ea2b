package import Bytes

/// An amount in nano-USD (10⁻⁹ USD). Money is never a floating-point number.
package struct NanoUSD: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var raw: Int64

    package init(_ raw: Int64) { self.raw = raw }

    package static let zero = NanoUSD(0)
    /// No amount in Redis may exceed this: Lua's numbers are doubles, exact up to 2⁵³ only.
    package static let maximum = NanoUSD(9_000_000_000_000_000)

    /// Parses a decimal string with at most 9 places: `12.5`, `-0.000000001`. Nil for anything else, and beyond ±9·10¹⁵.
    package init?(decimal text: String) {
        guard let raw = Decimal.parse(text, places: 9), abs(raw) <= Self.maximum.raw else { return nil }
        self.raw = raw
    }

    /// The shortest decimal form: `12.5`, `0.000000001`, `0`.
    package var description: String { Decimal.format(raw, places: 9) }

    /// As `description`, of at most `longest` bytes.
    package func write(to out: inout ByteCursor) { Decimal.write(raw, places: 9, to: &out) }
    package static let longest = Decimal.longest + 9

    package static func < (left: Self, right: Self) -> Bool { left.raw < right.raw }
    /// Sums saturate: amounts are bounded far below, so that only a defect elsewhere could reach the ends.
    package static func + (left: Self, right: Self) -> Self {
        let (sum, overflow) = left.raw.addingReportingOverflow(right.raw)
        return overflow ? NanoUSD(left.raw < 0 ? .min : .max) : NanoUSD(sum)
    }
    package static func - (left: Self, right: Self) -> Self {
        let (difference, overflow) = left.raw.subtractingReportingOverflow(right.raw)
        return overflow ? NanoUSD(left.raw < 0 ? .min : .max) : NanoUSD(difference)
    }
    package static func += (left: inout Self, right: Self) { left = left + right }
}

/// A price in nano-USD per million tokens: `$3 / MTok` is 3,000,000,000.
package struct PricePerMillion: Hashable, Sendable, CustomStringConvertible {
    package var raw: Int64

    package init(_ raw: Int64) { self.raw = raw }

    /// Parses USD per million tokens, at most 9 places, 0 up to 1,000,000.
    package init?(decimal text: String) {
        guard let raw = Decimal.parse(text, places: 9), (0...1_000_000_000_000_000).contains(raw) else { return nil }
        self.raw = raw
    }

    package var description: String { Decimal.format(raw, places: 9) }
}

/// A factor on prices in ten-thousandths: `1.25` is 12,500.
package struct Multiplier: Hashable, Sendable, CustomStringConvertible {
    package var raw: Int64

    package init(_ raw: Int64) { self.raw = raw }
    package static let one = Multiplier(10_000)

    /// Parses a decimal with at most 4 places, 0 up to 1,000.
    package init?(decimal text: String) {
        guard let raw = Decimal.parse(text, places: 4), (0...10_000_000).contains(raw) else { return nil }
        self.raw = raw
    }

    package var description: String { Decimal.format(raw, places: 4) }
}

/// Decimal text to scaled integers and back, exactly.
package enum Decimal {
    /// `digits[.digits]` with an optional minus sign; nil when there are more places or the number does not fit.
    package static func parse(_ text: String, places: Int) -> Int64? {
        var bytes = text.utf8[...]
        let isNegative = bytes.first == UInt8(ascii: "-")
        if isNegative { bytes = bytes.dropFirst() }
        var value: Int64 = 0
        var digits = 0
        var fraction: Int?
        for byte in bytes {
            if byte == UInt8(ascii: "."), fraction == nil, digits > 0 {
                fraction = 0
                continue
            }
            guard byte &- 0x30 < 10 else { return nil }
            if let count = fraction {
                guard count < places else {
                    // Further places may only be zeros.
                    if byte == UInt8(ascii: "0") { continue }
                    return nil
                }
                fraction = count + 1
            }
            digits += 1
            guard let next = times10(value, plus: Int64(byte - 0x30)) else { return nil }
            value = next
        }
        guard digits > 0, bytes.last != UInt8(ascii: ".") else { return nil }
        for _ in (fraction ?? 0)..<places {
            guard let next = times10(value, plus: 0) else { return nil }
            value = next
        }
        return isNegative ? -value : value
    }

    package static func format(_ value: Int64, places: Int) -> String {
        // Twelve digits with a sign and a point need no memory of their own.
        let isShort = value.magnitude < 1_000_000_000_000 && places < 12
        return String(unsafeUninitializedCapacity: isShort ? 15 : longest + places) { memory in
            var out = ByteCursor(memory)
            write(value, places: places, to: &out)
            return out.count
        }
    }

    /// Sign, 20 digits, point: what a number takes beside its places.
    package static let longest = 22

    package static func write(_ value: Int64, places: Int, to out: inout ByteCursor) {
        var scale: UInt64 = 1
        for _ in 0..<places { scale *= 10 }
        let (whole, rest) = value.magnitude.quotientAndRemainder(dividingBy: scale)
        if value < 0 { out.write(UInt8(ascii: "-")) }
        out.write(decimal: Int64(clamping: whole))
        var fraction = rest
        if fraction > 0 { out.write(UInt8(ascii: ".")) }
        while fraction > 0 {
            scale /= 10
            let (digit, next) = fraction.quotientAndRemainder(dividingBy: scale)
            out.write(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: digit))
            fraction = next
        }
    }

    private static func times10(_ value: Int64, plus digit: Int64) -> Int64? {
        let (product, overflow) = value.multipliedReportingOverflow(by: 10)
        guard !overflow else { return nil }
        let (sum, carry) = product.addingReportingOverflow(digit)
        return carry ? nil : sum
    }
}
