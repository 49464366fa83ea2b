import GatewayKit
import Reactor
import Testing

extension MissLimit {
    /// A look-up of a key that is nobody's.
    fileprivate mutating func spend(_ address: [UInt8], now: MonotonicTime) -> Bool {
        guard allows(address, now: now) else { return false }
        charge(address, now: now)
        return true
    }
}

@Suite("Limit of missed keys")
struct MissLimitTests {
    private func at(_ milliseconds: Int) -> MonotonicTime {
        MonotonicTime(nanoseconds: 1_000_000_000_000) + .milliseconds(milliseconds)
    }
    private func v4(_ last: UInt8) -> [UInt8] { [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last] }
    private func v6(_ subnet: UInt8, _ last: UInt8) -> [UInt8] {
        [0x20, 1, 0xd, 0xb8, 0, 0, 0, subnet, 0, 0, 0, 0, 0, 0, 0, last]
    }

    private func expectSpend(_ limit: inout MissLimit, _ address: [UInt8], _ expected: Bool) {
        let isAllowed = limit.spend(address, now: at(0))
        #expect(isAllowed == expected)
    }

    @Test("so many at once, then one each interval, never more than the burst after a pause")
    func refills() {
        var limit = MissLimit(RefillingLimit(burst: 3, interval: .milliseconds(100)), capacity: 10)
        func spend(_ time: Int) -> Bool { limit.spend(v4(1), now: at(time)) }
        let (yes, no) = (true, false)
        #expect([0, 0, 0, 0, 99].map(spend) == [yes, yes, yes, no, no])
        #expect([100, 100, 199, 200].map(spend) == [yes, no, no, yes])
        #expect([90_000, 90_000, 90_000, 90_000].map(spend) == [yes, yes, yes, no])
    }

    @Test("a crowd that was let in together pays together, and is not locked out for ever")
    func debt() {
        var limit = MissLimit(RefillingLimit(burst: 2, interval: .seconds(1)), capacity: 10)
        for _ in 0..<100 { limit.charge(v4(1), now: at(0)) }
        let allowed = [0, 2_999, 3_000].map { limit.allows(v4(1), now: at($0)) }
        #expect(allowed == [false, false, true])
        let isOtherAllowed = limit.allows(v4(2), now: at(0))
        #expect(isOtherAllowed)
    }

    @Test("each IPv4 address and each /64 counts for itself")
    func networks() {
        var limit = MissLimit(RefillingLimit(burst: 1, interval: .seconds(1)), capacity: 10)
        let first = [v4(1), v4(2), v6(1, 1), v6(2, 1)].map { address in limit.spend(address, now: at(0)) }
        let second = [v4(1), v4(2), v6(1, 9), v6(2, 9)].map { address in limit.spend(address, now: at(0)) }
        #expect(first == [true, true, true, true])
        #expect(second == [false, false, false, false])
    }

    @Test("memory is bounded whatever comes, odd addresses included")
    func bounded() {
        var limit = MissLimit(RefillingLimit(burst: 1, interval: .seconds(1)), capacity: 100)
        for number in 0..<10_000 {
            _ = limit.spend([0x20, 1, 0, 0, 0, 0, UInt8(number >> 8), UInt8(number & 255)], now: at(number))
        }
        #expect(limit.count <= 101)
        expectSpend(&limit, [], true)
    }
}
