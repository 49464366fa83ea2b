/// A day of the proleptic Gregorian calendar, in UTC.
package struct CivilDate: Hashable, Sendable {
    package var year: Int
    /// 1–12.
    package var month: Int
    /// 1–31.
    package var day: Int

    package init(year: Int, month: Int, day: Int) {
        self.year = year
        self.month = month
        self.day = day
    }

    package static let microsecondsADay: Int64 = 86_400_000_000

    /// The date of a day counted from 1970-01-01.
    ///
    /// Years begin in March here, so that the leap day is the last one; an era is 400 of them, 146,097 days.
    package init(daysSinceEpoch: Int) {
        let days = daysSinceEpoch + 719_468
        let era = (days >= 0 ? days : days - 146_096) / 146_097
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// The date on which a time falls.
    package init(microsecondsSinceEpoch time: Int64) {
        self.init(daysSinceEpoch: Int(Self.split(time).days))
    }

    /// Days since 1970-01-01.
    package var daysSinceEpoch: Int {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    package static func isLeap(year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    /// Days of a month, 1–12.
    package static func days(inMonth month: Int, of year: Int) -> Int {
        switch month {
        case 2: isLeap(year: year) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// The same day so many months later (earlier if negative), or the last of that month if it has no such day.
    ///
    /// To count months from an anchor, add n months to the anchor; adding one month n times would clamp for good.
    package func adding(months: Int) -> CivilDate {
        let total = year * 12 + (month - 1) + months
        let newYear = total >= 0 ? total / 12 : (total - 11) / 12
        let newMonth = total - newYear * 12 + 1
        return CivilDate(year: newYear, month: newMonth, day: min(day, Self.days(inMonth: newMonth, of: newYear)))
    }

    /// Whole days since 1970, rounded down, and the microseconds into that day.
    package static func split(_ time: Int64) -> (days: Int64, timeOfDay: Int64) {
        let remainder = time % microsecondsADay
        let timeOfDay = remainder < 0 ? remainder + microsecondsADay : remainder
        return ((time - timeOfDay) / microsecondsADay, timeOfDay)
    }
}
