import Domain
import Formats
import HTTPMessages
import Testing

@testable import Providers

@Suite("When limits end")
struct ResetReaderTests {
    @Test(
        "a point in time is read in seconds, milliseconds, or as a date",
        arguments: [
            ("1800000060", 60.0), ("1800000060000", 60), ("1800000060.5", 60.5), (" 1800000060 ", 60),
            ("2027-01-15T08:01:00Z", 60), ("2027-01-15T08:01:00.25+00:00", 60.25), ("2027-01-15T10:01:00+02:00", 60),
            ("Fri, 15 Jan 2027 08:01:00 GMT", 60), ("1800691200", 691_200), ("1800691200000", 691_200),
        ]
    )
    func times(text: String, seconds: Double) {
        var reader = ResetReader(now: VerdictFixture.now)
        #expect(reader.time(text, "f") == .after(seconds))
        #expect(reader.ignored.isEmpty)
    }

    @Test(
        "a time from now is read in seconds or with units",
        arguments: [
            ("60", 60.0), ("0.5", 0.5), ("60s", 60), ("1h0m5s", 3605), ("6m0s", 360), ("12ms", 0.012), ("1m30s", 90),
            ("33740.910400305s", 33_740.9104), ("1.5h", 5400), ("250us", 0.00025), ("3µs", 0.000003),
            ("8d", 691_200),
            ("1d2h", 93_600), ("4000ns", 0.000004), ("+5", 5),
        ]
    )
    func delays(text: String, seconds: Double) {
        var reader = ResetReader(now: VerdictFixture.now)
        #expect(reader.delay(text, "f") == .after(seconds))
        #expect(reader.ignored.isEmpty)
    }

    @Test("what is over already is none, and no fault", arguments: ["1799999999", "1800000000", "1799999999000", "0"])
    func past(text: String) {
        var reader = ResetReader(now: VerdictFixture.now)
        #expect(reader.time(text, "f") == nil)
        #expect(reader.delay("0", "f") == nil)
        #expect(reader.time("2027-01-15T07:59:59Z", "f") == nil)
        #expect(reader.time("", "f") == nil && reader.time(nil as String?, "f") == nil)
        #expect(reader.ignored.isEmpty)
    }

    @Test(
        "what makes no sense is passed over with its name and fault",
        arguments: [
            ("-5", IgnoredValue.Fault.negative), ("-1800000060", .negative), ("-60s", .unreadable),
            ("1800691201", .tooFar), ("1800691200001", .tooFar), ("99999999999999999999999999", .tooFar),
            ("9223372036854775807", .tooFar), ("soon", .unreadable), ("1e300", .unreadable), ("NaN", .unreadable),
            ("0x10", .unreadable), ("12,5", .unreadable), ("1.2.3", .unreadable), ("--1", .unreadable),
            ("1.", .unreadable), (".5", .unreadable), ("2027-13-45T99:99:99Z", .unreadable), ("٣", .unreadable),
            ("Fri, 32 Jan 2027 08:01:00 GMT", .unreadable), ("\u{0}", .unreadable),
        ]
    )
    func absurdTimes(text: String, fault: IgnoredValue.Fault) {
        var reader = ResetReader(now: VerdictFixture.now)
        #expect(reader.time(text, "field") == nil)
        #expect(reader.ignored.map(\.fault) == [fault])
        #expect(reader.ignored.first?.field == "field")
    }

    @Test(
        "the same holds for times from now",
        arguments: [
            ("-5", IgnoredValue.Fault.negative), ("-1h", .negative), ("691201", .tooFar), ("9d", .tooFar),
            ("9999999999999h", .tooFar), ("99999999999999999999999999999", .tooFar),
            ("9223372036854775807d9223372036854775807d", .tooFar), ("5x", .unreadable), ("s", .unreadable),
            ("-", .unreadable), ("5 s", .unreadable), ("1h-5m", .unreadable), ("h5", .unreadable),
        ]
    )
    func absurdDelays(text: String, fault: IgnoredValue.Fault) {
        var reader = ResetReader(now: VerdictFixture.now)
        #expect(reader.delay(text, "field") == nil)
        #expect(reader.ignored.map(\.fault) == [fault])
    }

    @Test("JSON numbers of every kind are read, and nothing else traps")
    func json() {
        var reader = ResetReader(now: VerdictFixture.now)
        #expect(reader.time(.int(1_800_000_060), "f") == .after(60))
        #expect(reader.time(.double(1_800_000_060.5), "f") == .after(60.5))
        #expect(reader.time(.double(1_800_000_060_000), "f") == .after(60))
        #expect(reader.delay(.double(0.25), "f") == .after(0.25))
        #expect(reader.delay(.string("22s"), "f") == .after(22))
        #expect(reader.delay(.null, "f") == nil && reader.delay(nil as JSON?, "f") == nil)
        #expect(reader.ignored.isEmpty)
        for value in [
            JSON.int(.max), .int(.min), .int(-1), .double(1e300), .double(-1e300), .double(.infinity), .double(.nan),
            true,
            [], [:], .double(9e12), .double(-0.5), .double(1.8e19),
        ] {
            #expect(reader.time(value, "f") == nil)
            #expect(reader.delay(value, "f") == nil)
        }
        // Each is told once.
        #expect(Set(reader.ignored).count == reader.ignored.count)
        #expect((5...16).contains(reader.ignored.count))
    }

    @Test(
        "retry-after is seconds or a date",
        arguments: [
            ("30", Optional(30.0)), ("Fri, 15 Jan 2027 08:01:00 GMT", 60), ("0", nil), ("-1", nil), ("soon", nil),
            ("9999999", nil), ("Fri, 15 Jan 2027 07:00:00 GMT", nil),
        ]
    )
    func retryAfter(text: String, seconds: Double?) {
        var reader = ResetReader(now: VerdictFixture.now)
        #expect(reader.retryAfter(["retry-after": text]) == seconds.map { .after($0) })
        #expect(reader.retryAfter(["retry-after-ms": "1500", "retry-after": text]) == .after(1.5))
        #expect(reader.retryAfter(["retry-after-ms": "x", "retry-after": text]) == seconds.map { .after($0) })
    }

    @Test("what is kept of a value is short and printable")
    func ignoredText() {
        let value = IgnoredValue("f", String(repeating: "é\n\u{0}a", count: 100), .unreadable)
        #expect(value.value.utf8.count == 64)
        #expect(value.value.hasPrefix("???a"))
    }

    @Test("a clock at the end of time does not trap")
    func extremeClock() {
        for now in [Int64.max, .min, 0, -1] {
            var reader = ResetReader(now: Timestamp(microseconds: now))
            for text in ["60", "1800000000", "9999999999999", "-1"] {
                _ = reader.time(text, "f")
                _ = reader.delay(text, "f")
            }
        }
    }
}
