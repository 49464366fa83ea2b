import Bytes
package import Decisions
package import Domain
import Reactor
package import Redis
import Snapshots

/// Slots of accounts: leases in Redis, so that workers together never exceed an account's concurrency.
package final class SlotStore {
    /// What the scheduler reads, in one piece: it looks at every account of a group for every call.
    package final class Board {
        package fileprivate(set) var states: [AccountState] = []
        /// Has what was spent through an account written into Redis again.
        fileprivate var rebuild: ((AccountID) async -> Void)?
    }

    package let board = Board()
    private let redis: RedisClient
    private var accounts: [AccountID: AccountSlots] = [:]

    /// - Parameter rebuild: asks for what was spent through an account, where Redis has forgotten it.
    package init(_ redis: RedisClient, rebuild: ((AccountID) async -> Void)? = nil) {
        self.redis = redis
        board.rebuild = rebuild
    }

    /// What this loop knows of an account's slots.
    package func of(_ account: AccountID) -> AccountSlots {
        if let known = accounts[account] { return known }
        let made = AccountSlots(account, redis, board, at: board.states.count)
        board.states.append(AccountState())
        accounts[account] = made
        return made
    }

    /// Flags of an account, or of whichever, are no longer what this loop knows of them.
    package func forgetHints(of account: AccountID?) {
        guard let account else { return accounts.values.forEach { $0.forgetHints() } }
        accounts[account]?.forgetHints()
    }
}

/// The slots of one account as one loop sees them.
package final class AccountSlots: RedisGatherer {
    package enum Answer: Sendable {
        case granted(SlotGrant)
        case refused(SkipReason)
        /// As `refused(.full)`, for a call that waits.
        case full(WaitPlace)
    }

    /// The Redis name of the set.
    package let name: String
    /// Where the account's state stands on the board.
    package let position: Int
    package let account: AccountID

    /// Whether calls beyond the plan's limits may be paid with AI credits.
    package var takesCredits = false {
        didSet { if takesCredits != oldValue { showHints() } }
    }

    private var hints = AccountHints()
    private let board: SlotStore.Board
    private let redis: RedisClient
    /// What almost all calls ask, and what those ask that have more to say.
    private struct Acquisition {
        let limit: Int
        let short: PreparedRun
        let long: PreparedRun
    }
    private var acquisition: Acquisition?
    /// Of this turn.
    private var released: [String] = []
    private static let mostReleases = 64
    /// By how many slots are given back.
    private var giveBack: [PreparedRun?] = Array(repeating: nil, count: mostReleases + 1)
    private lazy var giveBackWithCost = PreparedRun(
        CallScripts.release,
        keys: [name, RedisNames.quota(of: account)],
        furtherArguments: 2
    )
    /// When it was last asked to have written again what was spent.
    private var rebuiltAt: MonotonicTime?
    private let marks: String
    private let probes: String

    init(_ account: AccountID, _ redis: RedisClient, _ board: SlotStore.Board, at position: Int) {
        self.account = account
        self.redis = redis
        self.board = board
        self.position = position
        name = RedisNames.slots(of: account)
        marks = RedisNames.marks(of: account)
        probes = RedisNames.probes(of: account)
    }

    package var state: AccountState {
        get { board.states[position] }
        set { board.states[position] = newValue }
    }

    // MARK: What is known of its flags

    package func learn(_ flags: [AccountFlag], now: Timestamp) {
        for flag in flags { hints.learn(flag, now: now) }
        showHints()
    }

    /// Its flags have changed: Redis has to be asked again.
    package func forgetHints() {
        hints = AccountHints()
        showHints()
    }

    private func showHints() {
        board.states[position].blockedUntil = hints.blockedUntil(takesCredits: takesCredits)?.microseconds ?? 0
        board.states[position].hasModelLimits = hints.hasModels
    }

    /// Why a call to this model would be refused, as far as is known here.
    package func skipReason(_ model: String, now: Timestamp) -> SkipReason? {
        // Hardly any account has hints, as the board shows.
        let state = board.states[position]
        guard state.blockedUntil != 0 || state.hasModelLimits else { return nil }
        return hints.skipReason(model, takesCredits: takesCredits, now: now)
    }

    package func isLimited(_ model: String, now: Timestamp) -> Bool {
        board.states[position].hasModelLimits && skipReason(model, now: now) != nil
    }

    // MARK: Slots

    private func note(_ count: Int) {
        board.states[position].note(inFlight: count, limit: acquisition?.limit ?? 0)
    }

    /// Takes a slot, unless the account is full, flagged or has had its calls of this minute.
    ///
    /// - Parameters:
    ///   - limit: calls at once; 0 is no limit.
    ///   - rate: calls a minute; 0 is no limit.
    ///   - quota: what may be spent through it.
    ///   - model: the name under which a limit would keep the call away.
    ///   - isGuard: tries out an account although it is paused, where all its pauses are guesses.
    ///   - ticket: of a call that waits if it is full.
    ///   - now: for the hints, on this worker's clock.
    /// - Throws: `RedisError`; a slot that was perhaps taken is given back.
    package func acquire(
        limit: Int,
        rate: Int,
        quota: AccountQuota = AccountQuota(),
        model: String,
        isGuard: Bool = false,
        requestID: String,
        ticket: WaitTicket? = nil,
        now: Timestamp
    ) async throws -> Answer {
        do {
            // What is given back in this turn may be what this call gets.
            writeGathered()
            let runs = acquisition(limit)
            let isLong = rate > 0 || isGuard || takesCredits || ticket != nil || quota.isLimited
            func ask(isLenient: Bool) async throws -> SlotAnswer {
                guard isLong else { return try await self.ask(runs.short, requestID, model) }
                var more = RedisArguments(capacity: 112)
                more.add(Int64(rate))
                more.add(isGuard ? "guard" : takesCredits ? "credits" : "")
                let (bound, since) = WaitTicket.texts(ticket)
                more.add(bound)
                more.add(since)
                more.add(quota.isLimited ? quota.text(isLenient: isLenient) : "")
                return try await self.ask(runs.long, requestID, model, more)
            }
            var answer = try await ask(isLenient: false)
            if case .quotaForgotten = answer {
                await rebuildQuota()
                answer = try await ask(isLenient: true)
            }
            return take(answer, model, now)
        } catch {
            release(requestID: requestID)
            throw error
        }
    }

    /// - Parameter more: what few calls have to say beyond their id and model.
    private func ask(
        _ run: PreparedRun,
        _ requestID: String,
        _ model: String,
        _ more: RedisArguments = RedisArguments()
    ) async throws -> SlotAnswer {
        let result: Result<SlotAnswer, RedisError> = await withUnsafeContinuation { continuation in
            let texts = requestID.utf8.count + AccountFlag.Kind.modelPrefix.utf8CodeUnitCount + model.utf8.count
            redis.run(run, atMost: texts + 2 * RedisWriter.overhead + more.size) { rest in
                rest.add(requestID)
                rest.add { field in
                    field.write(AccountFlag.Kind.modelPrefix)
                    field.write(model)
                }
                if more.count > 0 { rest.add(contentsOf: more) }
            } then: { answer in
                continuation.resume(returning: SlotAnswer.read(answer))
            }
        }
        return try result.get()
    }

    private func take(_ answer: SlotAnswer, _ model: String, _ now: Timestamp) -> Answer {
        switch answer {
        case .granted(let grant, let inFlight):
            note(inFlight)
            // Other models than this one may be limited.
            if let marks = grant.marks { learn(marks.live(now).filter { !$0.concerns(model: model) }, now: now) }
            return .granted(grant)
        case .full(let inFlight, let place):
            note(inFlight)
            return place.map { .full($0) } ?? .refused(.full)
        case .tooManyRequests(let end):
            hints.learnRate(until: end, now: now)
            showHints()
            return .refused(.requestRate(until: end))
        case .quotaSpent(let kind, let end):
            hints.learnQuota(kind, until: end, now: now)
            showHints()
            return .refused(.quota(kind, until: end))
        case .quotaForgotten: return .refused(.halfOpen)
        case .halfOpen: return .refused(.halfOpen)
        case .flagged(let marks):
            let live = marks.live(now)
            learn(live, now: now)
            let reason = live.filter { $0.concerns(model: model) }.max { $0.end < $1.end }
            // Over by this worker's clock, but not by Redis': a moment later it will be.
            return .refused(reason.map { .flagged($0) } ?? .halfOpen)
        }
    }

    /// Gives the slot back. When Redis is away the lease ends by itself.
    ///
    /// - Parameter cost: what the call has cost an account with quotas; counted once, whatever is sent again.
    package func release(requestID: String, cost: NanoUSD = .zero) {
        guard cost > .zero else {
            released.append(requestID)
            if released.count == 1 { redis.gather(self) }
            return
        }
        var rest = RedisArguments([requestID])
        rest.add(cost.raw)
        redis.run(giveBackWithCost, rest) { [self] in noteReleased($0) }
    }

    /// Gives back what this turn has released, many in one run.
    package func writeGathered() {
        while !released.isEmpty {
            let count = min(released.count, Self.mostReleases)
            let rest = RedisArguments(Array(released.suffix(count)))
            released.removeLast(count)
            let run = giveBack[count] ?? PreparedRun(CallScripts.release, keys: [name], furtherArguments: count)
            giveBack[count] = run
            redis.run(run, rest) { [self] in noteReleased($0) }
        }
    }

    private func noteReleased(_ result: Result<RedisValue, RedisError>) {
        if case .success(.integer(let count)) = result { note(Int(clamping: count.magnitude)) }
    }

    private func acquisition(_ limit: Int) -> Acquisition {
        if let acquisition, acquisition.limit == limit { return acquisition }
        func run(_ count: Int) -> PreparedRun {
            PreparedRun(
                AccountScripts.acquire,
                keys: [name],
                arguments: [String(limit), Leases.durationText],
                furtherArguments: count
            )
        }
        let made = Acquisition(limit: limit, short: run(2), long: run(7))
        acquisition = made
        return made
    }

    /// Redis does not know what was spent. Where nobody can tell, calls go on rather than not at all; not every one of
    /// them asks.
    private func rebuildQuota() async {
        if let rebuiltAt, rebuiltAt.elapsed < .seconds(1) { return }
        await board.rebuild?(account)
        rebuiltAt = .now
    }

    // MARK: Marks

    /// Says how a call that was let in as a probe went; others need not.
    ///
    /// - Parameter isTaken: whether the upstream has answered it.
    package func endProbe(requestID: String, isTaken: Bool) {
        redis.run(
            AccountScripts.endProbe,
            keys: [marks, probes],
            arguments: [requestID, isTaken ? "1" : "0"]
        ) { _ in }
    }

    /// What stands of the account now.
    ///
    /// - Throws: `RedisError`.
    package func readMarks() async throws -> AccountMarks {
        AccountMarks(try await redis.send(RedisCommand(["HGETALL", marks])))
    }
}

extension AccountQuota {
    /// As `AccountQuotaScripts` takes it.
    fileprivate func text(isLenient: Bool) -> String {
        "\(daily?.raw ?? 0) \(weekly?.raw ?? 0) \(total?.raw ?? 0) \(isLenient ? 1 : 0)"
    }
}

extension AccountFlag {
    /// For comparing: what has no end ends last.
    fileprivate var end: Timestamp { until ?? Timestamp(microseconds: .max) }
}
