import Formats
import TestSupport
import Testing

@Suite("Times as text, and the calendar")
struct RFC3339Tests {
    @Test(
        "a time has one text, and reads back from it",
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (-1, "1969-12-31T23:59:59.999999Z"), (1_000, "1970-01-01T00:00:00.001Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z"), (951_868_799_999_999, "2000-02-29T23:59:59.999999Z"),
            (1_709_164_800_500_000, "2024-02-29T00:00:00.500Z"), (4_107_542_400_000_000, "2100-03-01T00:00:00Z"),
            (-2_203_891_200_000_000, "1900-03-01T00:00:00Z"), (-62_167_219_200_000_000, "0000-01-01T00:00:00Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
            (1_794_040_200_000_001, "2026-11-07T08:30:00.000001Z"),
        ] as [(Int64, String)]
    )
    func text(time: Int64, text: String) {
        #expect(RFC3339.format(time) == text)
        #expect(RFC3339.parse(text) == time)
    }

    @Test("fractions have the digits asked for")
    func fractions() {
        #expect(RFC3339.format(1_999_999, .seconds) == "1970-01-01T00:00:01Z")
        #expect(RFC3339.format(1_999_999, .milliseconds) == "1970-01-01T00:00:01.999Z")
        #expect(RFC3339.format(1_000_000, .microseconds) == "1970-01-01T00:00:01.000000Z")
        #expect(RFC3339.format(-1, .seconds) == "1969-12-31T23:59:59Z")
    }

    @Test("times outside the years of the format become its first or last")
    func clamped() {
        #expect(RFC3339.format(.max) == "9999-12-31T23:59:59.999999Z")
        #expect(RFC3339.format(.min) == "0000-01-01T00:00:00Z")
    }

    @Test(
        "the other spellings of the format are read",
        arguments: [
            ("1970-01-01t00:00:00z", 0), ("1970-01-01 00:00:00Z", 0), ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T14:30:00-09:30", 0), ("1970-01-01T00:00:00-00:00", 0), ("1970-01-01T00:00:00.1Z", 100_000),
            ("1970-01-01T00:00:00.1234567899Z", 123_456), ("1970-01-01T00:00:00.000000000000000000000000000009Z", 0),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000_000), ("2016-12-31T23:59:60.9Z", 1_483_228_800_000_000),
            ("2017-01-01T00:59:60+01:00", 1_483_228_800_000_000), ("1969-12-31T23:59:59+23:59", -86_341_000_000),
        ] as [(String, Int64)]
    )
    func spellings(text: String, time: Int64) {
        #expect(RFC3339.parse(text) == time)
    }

    @Test(
        "anything else is refused",
        arguments: [
            "", "1970", "1970-01-01", "1970-01-01T00:00Z", "1970-01-01T00:00:00", "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00,1Z",
            "1970-13-01T00:00:00Z", "1970-00-01T00:00:00Z", "1970-01-00T00:00:00Z", "1970-01-32T00:00:00Z",
            "1970-04-31T00:00:00Z",
            "2023-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2024-02-30T00:00:00Z", "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:61Z", "1970-01-01T12:00:60Z", "1970-01-01T00:00:00+24:00", "1970-01-01T00:00:00+00:60",
            "1970-01-01T00:00:00+0000", "1970-01-01T00:00:00+1", "70-01-01T00:00:00Z", "+1970-01-01T00:00:00Z",
            "19700-01-01T00:00:00Z",
            "1970-1-1T0:0:0Z", "1970-01-01T00:00:00ZZ", " 1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z ",
            "1970/01/01T00:00:00Z",
            "１970-01-01T00:00:00Z", "1970-01-01\u{0}00:00:00Z",
        ]
    )
    func refused(text: String) {
        #expect(RFC3339.parse(text) == nil)
    }

    @Test("every day of a thousand years is one after the last, and reads back")
    func days() {
        var date = CivilDate(year: 1600, month: 1, day: 1)
        for day in date.daysSinceEpoch..<(date.daysSinceEpoch + 365_243) {
            guard CivilDate(daysSinceEpoch: day) == date, date.daysSinceEpoch == day else {
                Issue.record("day \(day) is not \(date)")
                return
            }
            date.day += 1
            if date.day > CivilDate.days(inMonth: date.month, of: date.year) {
                date = CivilDate(year: date.year, month: date.month + 1, day: 1)
            }
            if date.month > 12 { date = CivilDate(year: date.year + 1, month: 1, day: 1) }
        }
        #expect(date == CivilDate(year: 2600, month: 1, day: 1))
    }

    @Test("random times survive a round trip through text")
    func roundTrip() {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<5000 {
            let time = Int64.random(in: -62_167_219_200_000_000...253_402_300_799_999_999, using: &random)
            #expect(RFC3339.parse(RFC3339.format(time)) == time)
        }
    }

    @Test(
        "months are added with the day clamped to the month's last",
        arguments: [
            ("2024-01-31T10:00:00Z", 1, "2024-02-29T10:00:00Z"), ("2023-01-31T10:00:00Z", 1, "2023-02-28T10:00:00Z"),
            ("2024-01-31T10:00:00Z", 2, "2024-03-31T10:00:00Z"), ("2024-03-31T00:00:00Z", -1, "2024-02-29T00:00:00Z"),
            ("2024-02-29T00:00:00Z", 12, "2025-02-28T00:00:00Z"), ("2024-02-29T00:00:00Z", 48, "2028-02-29T00:00:00Z"),
            ("2024-12-15T00:00:00Z", 1, "2025-01-15T00:00:00Z"), ("2024-01-15T00:00:00Z", -1, "2023-12-15T00:00:00Z"),
            ("2024-06-30T23:59:59.999999Z", 0, "2024-06-30T23:59:59.999999Z"),
            ("0001-01-31T00:00:00Z", -11, "0000-02-29T00:00:00Z"),
            ("1969-12-31T23:00:00Z", 2, "1970-02-28T23:00:00Z"),
        ]
    )
    func months(start: String, months: Int, end: String) throws {
        let start = try #require(RFC3339.parse(start))
        #expect(
            CivilDate(microsecondsSinceEpoch: start).adding(months: months)
                == CivilDate(microsecondsSinceEpoch: try #require(RFC3339.parse(end)))
        )
    }
}
