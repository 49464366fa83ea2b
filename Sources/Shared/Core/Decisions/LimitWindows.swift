package import Domain

/// One window of a limit: from its beginning up to, not including, its end.
package struct LimitWindow: Hashable, Sendable {
    package let start: Timestamp
    package let end: Timestamp

    package init(start: Timestamp, end: Timestamp) {
        self.start = start
        self.end = end
    }
}

/// The windows of a limit: anchor + n · period in UTC, where n may be negative. Months go by the calendar; a day that a
/// month has not is its last.
package struct LimitWindows: Hashable, Sendable {
    private static let minute: Int64 = 60_000_000
    private static let day: Int64 = 86_400_000_000

    package let period: WindowPeriod
    package let anchor: Timestamp

    package init(_ period: WindowPeriod, anchor: Timestamp) {
        self.period = period
        self.anchor = anchor
    }

    /// The window in which a time lies.
    package func window(at time: Timestamp) -> LimitWindow {
        switch period {
        case .minutes(let minutes):
            let length = max(1, minutes) &* Self.minute
            let number = Self.floored(time.microseconds &- anchor.microseconds, by: length).quotient
            let start = anchor.microseconds &+ number &* length
            return LimitWindow(
                start: Timestamp(microseconds: start),
                end: Timestamp(microseconds: start &+ length)
            )
        case .month:
            let (from, to) = (CivilDate(anchor), CivilDate(time))
            var number = (to.year &- from.year) &* 12 &+ (to.month &- from.month)
            if month(number) > time { number &-= 1 }
            return LimitWindow(start: month(number), end: month(number &+ 1))
        }
    }

    /// The window that follows another.
    package func next(after window: LimitWindow) -> LimitWindow { self.window(at: window.end) }

    private func month(_ number: Int64) -> Timestamp {
        let from = CivilDate(anchor)
        let (years, month) = Self.floored(from.month &- 1 &+ number, by: 12)
        var date = CivilDate(year: from.year &+ years, month: month &+ 1, day: 1)
        date.day = min(from.day, date.daysInMonth)
        let timeOfDay = Self.floored(anchor.microseconds, by: Self.day).remainder
        return Timestamp(microseconds: date.daysSince1970 &* Self.day &+ timeOfDay)
    }

    static func floored(_ value: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient &- 1, remainder &+ divisor) : (quotient, remainder)
    }
}

/// A day of the Gregorian calendar, counted backwards without end. After H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms": eras of 400 years that begin on 1 March.
struct CivilDate: Hashable {
    var year: Int64
    var month: Int64
    var day: Int64

    init(year: Int64, month: Int64, day: Int64) {
        self.year = year
        self.month = month
        self.day = day
    }

    init(_ time: Timestamp) {
        let days = LimitWindows.floored(time.microseconds, by: 86_400_000_000).quotient &+ 719_468
        let (era, dayOfEra) = LimitWindows.floored(days, by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shifted + 2) / 5 + 1
        month = shifted < 10 ? shifted + 3 : shifted - 9
        year = yearOfEra &+ era &* 400 &+ (month <= 2 ? 1 : 0)
    }

    var daysSince1970: Int64 {
        let (era, yearOfEra) = LimitWindows.floored(month <= 2 ? year &- 1 : year, by: 400)
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era &* 146_097 &+ dayOfEra &- 719_468
    }

    var daysInMonth: Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}
