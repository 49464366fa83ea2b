package import Bytes

/// Timestamps as text (RFC 3339), to and from microseconds since 1970-01-01 UTC.
package enum RFC3339 {
    package enum Fraction: Sendable {
        /// As many digits as the time needs: none, three or six.
        case shortest
        case seconds
        case milliseconds
        case microseconds
    }

    /// Bytes of the longest one.
    package static let longest = 27

    /// `2026-11-05T08:30:00Z`. Times outside the years 0–9999, which the format cannot express, become its first or last.
    package static func format(_ microseconds: Int64, _ fraction: Fraction = .shortest) -> String {
        String(unsafeUninitializedCapacity: longest) { memory in
            var out = ByteCursor(memory)
            write(microseconds, fraction, to: &out)
            return out.count
        }
    }

    package static func append(_ microseconds: Int64, _ fraction: Fraction = .shortest, to out: inout [UInt8]) {
        out.append(atMost: longest) { write(microseconds, fraction, to: &$0) }
    }

    /// At most `longest` bytes.
    package static func write(_ microseconds: Int64, _ fraction: Fraction = .shortest, to out: inout ByteCursor) {
        let (days, timeOfDay) = CivilDate.split(min(max(microseconds, earliest), latest))
        let date = CivilDate(daysSinceEpoch: Int(days))
        let time = Int(timeOfDay)
        write(date.year / 100, to: &out)
        write(date.year % 100, to: &out)
        out.write(UInt8(ascii: "-"))
        write(date.month, to: &out)
        out.write(UInt8(ascii: "-"))
        write(date.day, to: &out)
        out.write(UInt8(ascii: "T"))
        write(time / 3_600_000_000, to: &out)
        out.write(UInt8(ascii: ":"))
        write(time / 60_000_000 % 60, to: &out)
        out.write(UInt8(ascii: ":"))
        write(time / 1_000_000 % 60, to: &out)
        let rest = time % 1_000_000
        switch fraction {
        case .shortest where rest == 0, .seconds: break
        case .shortest where rest % 1000 == 0, .milliseconds: write(fraction: rest / 1000, from: 100, to: &out)
        case .shortest, .microseconds: write(fraction: rest, from: 100_000, to: &out)
        }
        out.write(UInt8(ascii: "Z"))
    }

    /// Microseconds since 1970 of `date-time` (RFC 3339, 5.6); nil for anything else.
    ///
    /// Any offset is accepted and more than six digits of a fraction are cut off. A leap second, which only the last
    /// minute of a UTC day can have, reads as the second after it.
    package static func parse(_ text: some StringProtocol) -> Int64? {
        var reader = Reader(text: Array(text.utf8))
        return reader.dateTime()
    }

    private static let earliest: Int64 = -62_167_219_200_000_000  // 0000-01-01T00:00:00Z
    private static let latest: Int64 = 253_402_300_799_999_999  // 9999-12-31T23:59:59.999999Z

    /// Two digits.
    private static func write(_ value: Int, to out: inout ByteCursor) {
        out.write(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: value / 10))
        out.write(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: value % 10))
    }

    private static func write(fraction: Int, from first: Int, to out: inout ByteCursor) {
        out.write(UInt8(ascii: "."))
        var weight = first
        while weight > 0 {
            out.write(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: fraction / weight % 10))
            weight /= 10
        }
    }

    private struct Reader {
        let text: [UInt8]
        var at = 0

        mutating func dateTime() -> Int64? {
            guard let year = number(4), skip("-"), let month = number(2), skip("-"), let day = number(2),
                skip("T") || skip("t") || skip(" "),
                let hour = number(2), skip(":"), let minute = number(2), skip(":"), let second = number(2),
                (1...12).contains(month), day >= 1, day <= CivilDate.days(inMonth: month, of: year),
                hour <= 23, minute <= 59, second <= 60,
                let fraction = fraction(), let offset = offset(), at == text.count
            else { return nil }
            let days = CivilDate(year: year, month: month, day: day).daysSinceEpoch
            let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset * 60
            // A leap second comes out as midnight.
            if second == 60, seconds % 86_400 != 0 { return nil }
            return Int64(seconds) * 1_000_000 + (second == 60 ? 0 : fraction)
        }

        mutating func skip(_ character: Character) -> Bool {
            guard at < text.count, text[at] == character.asciiValue else { return false }
            at += 1
            return true
        }

        mutating func digit() -> Int? {
            guard at < text.count, text[at] &- 0x30 < 10 else { return nil }
            at += 1
            return Int(text[at - 1]) - 0x30
        }

        mutating func number(_ digits: Int) -> Int? {
            var value = 0
            for _ in 0..<digits {
                guard let digit = digit() else { return nil }
                value = value * 10 + digit
            }
            return value
        }

        /// Microseconds.
        mutating func fraction() -> Int64? {
            guard skip(".") else { return 0 }
            guard let first = digit() else { return nil }
            var value = Int64(first) * 100_000
            var weight: Int64 = 10_000
            while let next = digit() {
                value += Int64(next) * weight
                weight /= 10
            }
            return value
        }

        /// Minutes east of UTC.
        mutating func offset() -> Int? {
            if skip("Z") || skip("z") { return 0 }
            let isWest = skip("-")
            guard isWest || skip("+"), let hours = number(2), skip(":"), let minutes = number(2), hours <= 23,
                minutes <= 59
            else { return nil }
            return (isWest ? -1 : 1) * (hours * 60 + minutes)
        }
    }
}
