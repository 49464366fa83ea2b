/// When a refused call may work, in words: waits that are too long for a program to sit out are for people to read.
package enum RecoveryText {
    /// `in about 5 minutes`, rounded up.
    package static func about(seconds: Int) -> String {
        let seconds = max(seconds, 1)
        func rounded(_ unit: Int, _ name: String) -> String {
            let count = seconds / unit + (seconds % unit > 0 ? 1 : 0)
            return "in about \(count) \(name)\(count == 1 ? "" : "s")"
        }
        switch seconds {
        case ..<90: return rounded(1, "second")
        case ..<5400: return rounded(60, "minute")
        case ..<129_600: return rounded(3600, "hour")
        default: return rounded(86_400, "day")
        }
    }

    /// `约 5 分钟`, rounded up.
    package static func aboutInChinese(seconds: Int) -> String {
        let seconds = max(seconds, 1)
        func rounded(_ unit: Int, _ name: String) -> String {
            "约 \(seconds / unit + (seconds % unit > 0 ? 1 : 0)) \(name)"
        }
        switch seconds {
        case ..<90: return rounded(1, "秒")
        case ..<5400: return rounded(60, "分钟")
        case ..<129_600: return rounded(3600, "小时")
        default: return rounded(86_400, "天")
        }
    }
}
