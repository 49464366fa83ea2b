import Domain
import HTTPFetching
import Reactor
import Testing

@testable import GatewayKit

@Suite("The relay's decisions")
struct RelayMachineTests {
    private static let start = MonotonicTime.now
    private static let (a, b, c) = (AccountID(1), AccountID(2), AccountID(3))

    private func machine(switches: Int = 10, deadline: Duration = .seconds(100), slots: Duration = .seconds(30))
        -> RelayMachine
    {
        RelayMachine(
            maximumSwitches: switches,
            deadline: Self.start + deadline,
            slotDeadline: Self.start + slots
        )
    }

    private func failure(_ reason: String, useful: Int = 1, free: Bool = false) -> AttemptFailure {
        AttemptFailure(reason: reason, status: 500, message: reason, usefulness: useful, isFree: free)
    }

    @Test("an account that was tried is not tried again, one that was full is once slots may have changed")
    func exclusion() {
        var relay = machine()
        #expect(!relay.isExcluded(Self.a) && relay.attempts == 0)
        relay.attempting(Self.a)
        relay.slotRefused(Self.b)
        #expect(relay.isExcluded(Self.a) && relay.isExcluded(Self.b) && !relay.isExcluded(Self.c))
        relay.slotsChanged()
        #expect(relay.isExcluded(Self.a) && !relay.isExcluded(Self.b))
        #expect(relay.attempts == 1)
    }

    @Test("without any account the call is refused as such")
    func none() { #expect(machine().noCandidate(now: Self.start) == .refuseNoAccount) }

    @Test("a full account is waited for until the slots' deadline, then the call is refused as too many")
    func waits() {
        var relay = machine(slots: .seconds(30))
        relay.slotRefused(Self.a)
        #expect(relay.noCandidate(now: Self.start + .milliseconds(29_999)) == .waitForSlot)
        #expect(relay.noCandidate(now: Self.start + .seconds(30)) == .refuseBusy)
    }

    @Test("the call's deadline ends waiting as well")
    func deadlineEndsWaiting() {
        var relay = machine(deadline: .seconds(5), slots: .seconds(30))
        relay.slotRefused(Self.a)
        #expect(relay.noCandidate(now: Self.start + .seconds(4)) == .waitForSlot)
        #expect(relay.noCandidate(now: Self.start + .seconds(5)) == .refuseBusy)
    }

    @Test("a failure moves on to the next account; with none left it is what the caller gets")
    func movesOn() {
        var relay = machine()
        relay.attempting(Self.a)
        #expect(relay.attemptFailed(failure("x"), now: Self.start) == .tryNext)
        #expect(relay.noCandidate(now: Self.start) == .surface(failure("x")))
    }

    @Test("after a failure a full account is still waited for, and the failure told when that was in vain")
    func waitsAfterFailure() {
        var relay = machine()
        relay.attempting(Self.a)
        relay.slotRefused(Self.b)
        #expect(relay.attemptFailed(failure("x"), now: Self.start) == .tryNext)
        #expect(relay.noCandidate(now: Self.start) == .waitForSlot)
        #expect(relay.noCandidate(now: Self.start + .seconds(31)) == .surface(failure("x")))
    }

    @Test("so many switches and no more", arguments: [0, 1, 2, 10])
    func switchLimit(limit: Int) {
        var relay = machine(switches: limit)
        for number in 0..<limit {
            relay.attempting(AccountID(Int64(number)))
            #expect(relay.attemptFailed(failure("x"), now: Self.start) == .tryNext)
        }
        #expect(relay.attemptFailed(failure("last"), now: Self.start) == .surface(failure("x")) || limit == 0)
    }

    @Test("what the upstream surely did not do is no switch", arguments: [0, 3])
    func freeFailures(limit: Int) {
        var relay = machine(switches: limit)
        for _ in 0..<50 {
            #expect(relay.attemptFailed(failure("free", free: true), now: Self.start) == .tryNext)
        }
        for _ in 0..<limit { #expect(relay.attemptFailed(failure("x", useful: 2), now: Self.start) == .tryNext) }
        #expect(relay.attemptFailed(failure("x", useful: 2), now: Self.start) == .surface(failure("x", useful: 2)))
    }

    @Test("a retry on the same account is no switch; it counts for that account alone, and not beyond the deadline")
    func retries() {
        var relay = machine(switches: 0, deadline: .seconds(10))
        relay.attempting(Self.a)
        let pause = Duration.milliseconds(500)
        for done in 1...2 {
            let action = relay.attemptFailed(failure("x"), retry: pause, now: Self.start)
            #expect(action == .retryHere(after: pause) && relay.retriesDone == done)
        }
        #expect(relay.attemptFailed(failure("x"), now: Self.start) == .surface(failure("x")))
        relay.attempting(Self.b)
        #expect(relay.retriesDone == 0)
        let late = Self.start + .milliseconds(9_500)
        #expect(relay.attemptFailed(failure("x"), retry: pause, now: late) == .surface(failure("x")))
    }

    @Test("an account that was flagged when it was asked is left alone until slots have changed")
    func flagged() {
        var relay = machine()
        relay.flagRefused(Self.a)
        #expect(relay.isExcluded(Self.a) && relay.noCandidate(now: Self.start) == .refuseNoAccount)
        relay.slotsChanged()
        #expect(!relay.isExcluded(Self.a))
    }

    @Test("after the deadline no further account is tried, free or not", arguments: [true, false])
    func deadline(isFree: Bool) {
        var relay = machine(deadline: .seconds(10))
        let late = Self.start + .seconds(10)
        #expect(relay.attemptFailed(failure("x"), now: Self.start + .milliseconds(9_999)) == .tryNext)
        #expect(relay.attemptFailed(failure("y", free: isFree), now: late) == .surface(failure("x")))
    }

    @Test(
        "the most useful failure is told; of equals the first",
        arguments: [
            ([1, 2, 3], 2), ([3, 2, 1], 0), ([2, 2, 2], 0), ([0, 4, 4], 1), ([5], 0),
        ]
    )
    func mostUseful(usefulness: [Int], expected: Int) {
        var relay = machine()
        for (index, useful) in usefulness.enumerated() {
            #expect(relay.attemptFailed(failure("\(index)", useful: useful), now: Self.start) == .tryNext)
        }
        let told = failure("\(expected)", useful: usefulness[expected])
        #expect(relay.noCandidate(now: Self.start) == .surface(told))
    }
}

@Suite("What callers are told of failed attempts")
struct AttemptFailureTests {
    private static let statuses = Array(100...599) + [0, -1, 600, 999, Int.max, Int.min]
    private static let errors: [FetchError] = [
        .connect(detail: "secret-host:443 refused"), .connectTimedOut, .notProcessed, .firstByteTimedOut, .idleTimedOut,
        .totalTimedOut, .connectionLost(detail: "secret-host"), .protocolViolation(detail: "secret-host"),
        .bodyTooLarge,
        .cancelled,
    ]

    @Test("nothing of the account, its host or its credentials is in what the caller gets")
    func leaksNothing() {
        let verdict = UpstreamVerdict(.failover, .upstreamError, [.error(AccountError("secret"))])
        var failures = Self.statuses.map { AttemptFailure(status: $0, verdict: verdict, retryAfterSeconds: 3) }
        failures += Self.errors.map { AttemptFailure($0) }
        failures += [.emptyStream, .errorEvent, .unreadableAnswer, .noCredentials]
        for failure in failures {
            let isClean =
                !failure.message.contains("secret") && !failure.message.contains("account")
                && !failure.message.contains("credential") && !failure.message.contains("organization")
            #expect(isClean, "\(failure.message)")
            #expect((400...599).contains(failure.status))
            #expect(failure.status != 401 && failure.status != 402 && failure.status != 403)
        }
    }

    @Test("refused credentials are the least useful to know, a missing model the most")
    func usefulness() {
        let verdict = UpstreamVerdict(.failover, .upstreamError)
        func useful(_ status: Int) -> Int {
            AttemptFailure(status: status, verdict: verdict, retryAfterSeconds: nil).usefulness
        }
        #expect(useful(404) > useful(429))
        #expect(useful(429) > useful(529))
        #expect(useful(529) > useful(500))
        #expect(useful(500) > AttemptFailure(FetchError.connectTimedOut).usefulness)
        #expect(AttemptFailure(FetchError.connectTimedOut).usefulness > useful(401))
        #expect(useful(401) == useful(403) && useful(401) == useful(402))
    }

    @Test("only what the upstream surely did not do is free")
    func free() {
        for error in Self.errors { #expect(AttemptFailure(error).isFree == (error == .notProcessed)) }
        #expect(AttemptFailure.noCredentials.isFree)
    }
}
