import Glibc

/// The value of the `date` field (RFC 9110, 5.6.7), made anew once a second.
struct DateLine {
    private var second: time_t = -1
    private var text: [UInt8] = []

    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    mutating func current() -> [UInt8] {
        let now = time(nil)
        if now != second {
            second = now
            text = Self.format(now)
        }
        return text
    }

    static func format(_ second: time_t) -> [UInt8] {
        var second = second
        var parts = tm()
        gmtime_r(&second, &parts)
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let day = days[Int(parts.tm_wday) % 7]
        let month = months[Int(parts.tm_mon) % 12]
        let clock = "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
        return [UInt8]("\(day), \(two(parts.tm_mday)) \(month) \(1900 + parts.tm_year) \(clock) GMT".utf8)
    }
}
