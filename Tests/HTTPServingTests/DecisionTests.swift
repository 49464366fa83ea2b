import Reactor
import Testing

@testable import HTTPServing

@Suite("What the server decides without a socket")
struct DecisionTests {
    @Test("dates are written as RFC 9110 wants them")
    func dates() {
        #expect(DateLine.format(784_111_777) == [UInt8]("Sun, 06 Nov 1994 08:49:37 GMT".utf8))
        #expect(DateLine.format(0) == [UInt8]("Thu, 01 Jan 1970 00:00:00 GMT".utf8))
        #expect(DateLine.format(1_709_164_800) == [UInt8]("Thu, 29 Feb 2024 00:00:00 GMT".utf8))
    }

    @Test("a header block is open from its first byte to its last, across CONTINUATION, however input is cut")
    func frames() {
        let input =
            http2Preface + frame(4) + frame(1, flags: 5, stream: 1, getBlock) + frame(0, stream: 1, [1, 2])
            + frame(1, flags: 1, stream: 3, getBlock) + frame(9, stream: 3, [1]) + frame(9, flags: 4, stream: 3)
            + frame(6, [0, 0, 0, 0, 0, 0, 0, 0])
        var bytewise = FrameTracker()
        var openings: [Bool] = []
        for byte in input {
            [byte].withUnsafeBytes { bytewise.read($0) }
            openings.append(bytewise.isInHead)
        }
        #expect(bytewise.heads == 2)
        let first = 24 + 9 + 9
        #expect(openings.firstIndex(of: true) == first - 1)
        #expect(openings[first..<(first + 5)].allSatisfy { $0 })
        #expect(!openings[first + 5])
        let second = first + 6 + 11 + 9
        // From the head's frame header to the end of the last CONTINUATION's.
        #expect(openings[(second - 1)..<(second + 6 + 10 + 8)].allSatisfy { $0 })
        #expect(openings[(second + 6 + 10 + 8)...].allSatisfy { !$0 })
        for cut in 0...input.count {
            var tracker = FrameTracker()
            input[..<cut].withUnsafeBytes { tracker.read($0) }
            #expect(tracker.isInHead == (cut > 0 && openings[cut - 1]), "cut at \(cut)")
            input[cut...].withUnsafeBytes { tracker.read($0) }
            #expect(tracker.heads == 2)
            #expect(!tracker.isInHead)
        }
    }

    @Test("a budget is for a stretch of time, and kinds do not share it")
    func budget() {
        var budget = FloodBudget()
        var now = MonotonicTime(nanoseconds: 1_000_000_000)
        func spend(_ kind: FloodBudget.Kind) -> Bool { budget.spend(kind, now: now) }
        for _ in 0..<500 { #expect(spend(.reset)) }
        #expect(!spend(.reset))
        #expect(spend(.control))
        now = now + .seconds(9)
        #expect(!spend(.reset))
        now = now + .seconds(1)
        #expect(spend(.reset))
    }

    @Test("a caller is stalled when next to nothing was taken for the timeout, not when it is slow or idle")
    func progress() {
        var progress = WriteProgress()
        let start = MonotonicTime(nanoseconds: 0)
        let timeout = Duration.seconds(60)
        func look(_ taken: Int, _ pending: Int, at second: Int) -> WriteProgress.Verdict {
            progress.look(taken: taken, pending: pending, now: at(second), timeout: timeout)
        }
        func at(_ seconds: Int) -> MonotonicTime { start + .seconds(seconds) }
        progress.start(taken: 0, now: start, timeout: timeout)
        #expect(progress.nextLook == at(15))
        // 16 KiB within the time, however they are spread.
        for second in stride(from: 15, through: 540, by: 15) {
            #expect(look(second * 300, 10, at: second) == .moving)
        }
        #expect(progress.nextLook == at(555))
        for second in stride(from: 555, to: 600, by: 15) {
            #expect(look(540 * 300 + second, 10, at: second) == .moving)
        }
        #expect(look(540 * 300 + 600, 10, at: 600) == .stalled)
        #expect(look(540 * 300 + 600, 0, at: 615) == .idle)
        #expect(!progress.isWatching)
    }
}
