import Decisions
import Domain
import Testing

/// Days since 1970 by walking through the years one by one: slow and plain.
private enum SlowCalendar {
    static func isLeap(_ year: Int64) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    static func days(_ month: Int64, _ year: Int64) -> Int64 {
        [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][Int(month - 1)]
    }

    static func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        var days: Int64 = day - 1
        for earlier in 1..<month { days += Self.days(earlier, year) }
        if year >= 1970 { for earlier in 1970..<year { days += isLeap(earlier) ? 366 : 365 } }
        if year < 1970 { for later in year..<1970 { days -= isLeap(later) ? 366 : 365 } }
        return days
    }

    static func date(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        var (year, rest) = (Int64(1970), days)
        while rest < 0 {
            year -= 1
            rest += isLeap(year) ? 366 : 365
        }
        while rest >= (isLeap(year) ? 366 : 365) {
            rest -= isLeap(year) ? 366 : 365
            year += 1
        }
        var month: Int64 = 1
        while rest >= self.days(month, year) {
            rest -= self.days(month, year)
            month += 1
        }
        return (year, month, rest + 1)
    }

    /// The anchor's day so many months on, one month at a time.
    static func month(_ anchor: Int64, _ number: Int64) -> Int64 {
        let day: Int64 = 86_400_000_000
        let days = (anchor - ((anchor % day) + day) % day) / day
        let timeOfDay = anchor - days * day
        var (year, month, dayOfMonth) = date(days)
        for _ in 0..<abs(number) {
            month += number > 0 ? 1 : -1
            if month == 13 { (year, month) = (year + 1, 1) }
            if month == 0 { (year, month) = (year - 1, 12) }
        }
        dayOfMonth = min(dayOfMonth, self.days(month, year))
        return daysSince1970(year, month, dayOfMonth) * day + timeOfDay
    }
}

private struct Dice: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

private func time(_ year: Int64, _ month: Int64, _ day: Int64, _ hour: Int64 = 0, _ minute: Int64 = 0) -> Timestamp {
    let minutes = (SlowCalendar.daysSince1970(year, month, day) * 24 + hour) * 60 + minute
    return Timestamp(microseconds: minutes * 60_000_000)
}

@Suite("Windows of limits")
struct LimitWindowsTests {
    @Test(
        "months end on the anchor's day, or on the last of those that have it not",
        arguments: [
            (time(2024, 1, 31, 12), time(2024, 2, 15), time(2024, 1, 31, 12), time(2024, 2, 29, 12)),
            (time(2024, 1, 31, 12), time(2024, 2, 29, 12), time(2024, 2, 29, 12), time(2024, 3, 31, 12)),
            (time(2023, 1, 31), time(2023, 2, 28), time(2023, 2, 28), time(2023, 3, 31)),
            (time(2024, 1, 31), time(2023, 2, 28), time(2023, 2, 28), time(2023, 3, 31)),
            (time(2024, 2, 29), time(2025, 2, 28), time(2025, 2, 28), time(2025, 3, 29)),
            (time(2024, 2, 29), time(2025, 3, 28, 23), time(2025, 2, 28), time(2025, 3, 29)),
            (time(2026, 12, 31, 23, 59), time(2027, 1, 1), time(2026, 12, 31, 23, 59), time(2027, 1, 31, 23, 59)),
            (time(2026, 5, 31), time(2000, 2, 29), time(2000, 2, 29), time(2000, 3, 31)),
            (time(2100, 1, 30), time(2100, 2, 28), time(2100, 2, 28), time(2100, 3, 30)),
        ]
    )
    func months(anchor: Timestamp, at: Timestamp, start: Timestamp, end: Timestamp) {
        #expect(LimitWindows(.month, anchor: anchor).window(at: at) == LimitWindow(start: start, end: end))
    }

    @Test("a window begins at its beginning and ends before its end, whatever side of the anchor it is on")
    func boundaries() {
        let anchor = time(2026, 11, 21, 7, 30)
        for period in [WindowPeriod.fiveHours, .day, .week, .month, .minutes(1), .minutes(525_600)] {
            let windows = LimitWindows(period, anchor: anchor)
            var window = windows.window(at: anchor)
            #expect(window.start == anchor)
            for _ in 0..<50 {
                let before = windows.window(at: Timestamp(microseconds: window.start.microseconds - 1))
                #expect(before.end == window.start)
                #expect(windows.window(at: before.start) == before)
                #expect(windows.next(after: before) == window)
                window = before
            }
        }
    }

    @Test("any time lies in the window that a slow calendar finds", arguments: 0..<8)
    func oracle(seed: Int) {
        var dice = Dice(state: UInt64(seed) &* 7919)
        let day: Int64 = 86_400_000_000
        for _ in 0..<600 {
            let anchor = Int64.random(in: -20 * 365 * day...80 * 365 * day, using: &dice)
            let at = anchor + Int64.random(in: -3700 * day...3700 * day, using: &dice)
            let months = LimitWindows(.month, anchor: Timestamp(microseconds: anchor))
                .window(at: Timestamp(microseconds: at))
            var number = (at - anchor) / (31 * day) - 5
            while SlowCalendar.month(anchor, number + 1) <= at { number += 1 }
            #expect(months.start.microseconds == SlowCalendar.month(anchor, number))
            #expect(months.end.microseconds == SlowCalendar.month(anchor, number + 1))

            let minutes = Int64.random(in: 1...525_600, using: &dice)
            let fixed = LimitWindows(.minutes(minutes), anchor: Timestamp(microseconds: anchor))
                .window(at: Timestamp(microseconds: at))
            #expect(fixed.start.microseconds <= at && at < fixed.end.microseconds)
            #expect(fixed.end.microseconds - fixed.start.microseconds == minutes * 60_000_000)
            #expect((fixed.start.microseconds - anchor) % (minutes * 60_000_000) == 0)
        }
    }
}

@Suite("What is reserved")
struct ReservationSizeTests {
    private let price = ModelPrice(
        model: "m",
        match: .exact,
        revision: 1,
        input: PricePerMillion(3_000_000_000),
        output: PricePerMillion(15_000_000_000),
        cacheWrite5m: PricePerMillion(3_750_000_000),
        cacheWrite1h: PricePerMillion(6_000_000_000),
        request: NanoUSD(7)
    )

    @Test(
        "the dearest input, the longest answer, and the multipliers",
        arguments: [
            // 100 bytes: 51 tokens at 6 USD, 10 at 15 USD, and the call.
            Case(100, 10, 1, 306_000 + 150_000 + 7), Case(100, 10, 2, 2 * 456_007),
            Case(100, nil, 1, 306_000 + 1_920_000_000 + 7), Case(100, .max, 1, 306_000 + 1_920_000_000 + 7),
            Case(1 << 30, 0, 1, 6_000_000_000 + 7), Case(100, 10, 0, 0),
        ]
    )
    func amount(_ test: Case) {
        let size = ReservationSize(textBytes: test.bytes, answerTokens: test.tokens)
        #expect(size.amount(at: price, multipliers: test.factor) == NanoUSD(test.expected))
    }

    @Test("media count with the text, all of it within the model's bounds; each answer within its own")
    func mediaAndAnswers() {
        func amount(_ media: Int64, _ tokens: Int64?, _ answers: Int64, at price: ModelPrice) -> Int64 {
            ReservationSize(
                textBytes: 100,
                media: MediaTokens(most: media, likely: 1),
                answerTokens: tokens,
                answers: answers
            ).amount(at: price).raw
        }
        #expect(amount(1_000, 10, 3, at: price) == 1_051 * 6_000 + 30 * 15_000 + 7)
        #expect(amount(5_000_000, 0, 1, at: price) == 6_000_000_000 + 7)
        var small = price
        (small.maximumInput, small.maximumOutput) = (500, 64)
        #expect(amount(1_000, 100, 2, at: small) == 500 * 6_000 + 128 * 15_000 + 7)
        #expect(amount(1_000, nil, 2, at: small) == 500 * 6_000 + 128 * 15_000 + 7)
        #expect(ReservationSize(textBytes: 100, media: .image, answerTokens: 1).likelyInput == 26 + 1_600)
    }

    struct Case: Sendable {
        let bytes: Int
        let tokens: Int64?
        let factor: Multiplier
        let expected: Int64

        init(_ bytes: Int, _ tokens: Int64?, _ factor: Int64, _ expected: Int64) {
            (self.bytes, self.tokens, self.expected) = (bytes, tokens, expected)
            self.factor = Multiplier(factor * 10_000)
        }
    }
}
