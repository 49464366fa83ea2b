import Decisions
import Domain
import HTTPMessages
import HTTPServing
import Reactor
import Redis
import Snapshots
import Telemetry

/// Lets calls in: compares what they rest on with what Redis knows, and reserves what they may cost.
struct CallAdmission {
    /// How often a call that waits for a slot of its user or key asks again.
    private static let callerSlotPoll = Duration.milliseconds(100)
    /// For so long a call waits for a budget that others use.
    private static let budgetWait = Duration.seconds(5)
    /// How often a call whose key or group has changed asks again before it gives up; with the pauses between, longer
    /// than an announced change is on its way.
    private static let maximumReloads = 8

    private let context: WorkerContext
    private let authenticator: Authenticator

    init(_ context: WorkerContext, _ authenticator: Authenticator) {
        self.context = context
        self.authenticator = authenticator
    }

    /// Admits the call in Redis; one whose key or group has changed meanwhile is looked at anew, one that a busy user or
    /// key, or a budget in use, holds up waits. While it waits it holds nothing.
    func admit(_ call: Call) async throws {
        let standing = call.standing
        try requirePrice(call)
        guard try !needsReload(standing, 0) else { return try await admit(call, after: nil) }
        let answer = try await ask(call, standing, CallerWait.ticket(standing.config.settings), isLenient: false)
        guard case .admitted(let grant) = answer else { return try await admit(call, after: answer) }
        didAdmit(call, standing, grant, waited: .zero)
    }

    private func didAdmit(_ call: Call, _ standing: Standing, _ grant: AdmissionGrant, waited: Duration) {
        if let minute = grant.minute { RateFields.add(minute, standing.key.snapshot, to: call.exchange) }
        call.trace.admitted(at: .now, waited: waited)
        call.didAdmit(standing, grant)
    }

    private func ask(_ call: Call, _ standing: Standing, _ ticket: WaitTicket?, isLenient: Bool) async throws
        -> AdmissionAnswer
    {
        do {
            return try await context.admission.admit(
                call.requestID,
                standing.key,
                standing.group,
                amount: amount(of: call, standing),
                now: .now,
                ticket: ticket,
                isLenient: isLenient
            )
        } catch let error as RedisError {
            if error == .connectionLost || error == .timedOut {
                // It may have been admitted: what it then holds is given back when Redis is there again.
                context.outbox.settleNothing(call.requestID, standing.key)
            }
            throw error
        }
    }

    /// Goes on asking, for as long as it makes sense.
    ///
    /// - Parameter first: what Redis has said already; nil where what the call rests on is to be read again first.
    private func admit(_ call: Call, after first: AdmissionAnswer?) async throws {
        var standing = call.standing
        var reloads = 0
        var isLenient = false
        var waited = Duration.zero
        let begin = MonotonicTime.now
        // Since when nothing but other calls' reservations stands in the way.
        var inUseSince: MonotonicTime?
        let queueWait = standing.config.settings.queueWait
        let wait = CallerWait(context.waits, requestID: call.requestID, standing.config.settings)
        // Where it has not been let in.
        defer { wait.end(.gone) }
        var known = first
        while true {
            if known == nil {
                call.rest(on: standing)
                try requirePrice(call)
                if try needsReload(standing, reloads) {
                    reloads += 1
                    (standing, _) = try await reload(standing, isForgotten: false, reloads, call.exchange)
                    continue
                }
            }
            let answer: AdmissionAnswer
            if let known {
                answer = known
            } else {
                answer = try await ask(call, standing, wait.ticket, isLenient: isLenient)
            }
            known = nil
            switch answer {
            case .admitted(let grant):
                wait.end(.served)
                return didAdmit(call, standing, grant, waited: waited)
            case .stale, .forgotten:
                reloads += 1
                let isForgotten = if case .forgotten = answer { true } else { false }
                (standing, isLenient) = try await reload(standing, isForgotten: isForgotten, reloads, call.exchange)
            case .busy(let line, let place):
                let start = MonotonicTime.now
                try await wait.wait(in: line, place, atMost: queueWait - begin.elapsed, call.exchange)
                waited += start.elapsed
            case .budgetInUse, .unsure:
                if case .unsure = answer { inUseSince = nil } else { inUseSince = inUseSince ?? .now }
                let isLong = begin.elapsed >= queueWait || inUseSince.map { $0.elapsed >= Self.budgetWait } ?? false
                guard !isLong, !call.exchange.isCallerGone else { throw refusal(answer, standing, call.exchange) }
                await context.loop.sleep(Self.callerSlotPoll)
                waited += Self.callerSlotPoll
            default: throw refusal(answer, standing, call.exchange)
            }
        }
    }

    /// What a caller is told of a limit that stands in its way.
    private func refusal(_ answer: AdmissionAnswer, _ standing: Standing, _ exchange: ServerExchange) -> GatewayError {
        if case .rateLimited(_, _, let minute?) = answer {
            RateFields.add(minute, standing.key.snapshot, to: exchange)
        }
        let language = CallerLanguage(acceptLanguage: exchange.request.headers["accept-language"])
        return LimitRefusals.error(answer, now: .now, language: language) ?? Authenticator.notReady
    }

    /// What the call may cost at most.
    private func amount(of call: Call, _ standing: Standing) -> NanoUSD {
        guard let price = call.served.price else { return .zero }
        let group = standing.group
        return call.size.amount(at: price, multipliers: group.snapshot.multiplier, group.highestMultiplier)
    }

    /// Checks that there is a subscription where one is needed.
    ///
    /// - Returns: whether there is none, but what stands is to be read again before the call is refused: as with keys that
    ///   are refused from memory.
    /// - Throws: `GatewayError` where there is none.
    private func needsReload(_ standing: Standing, _ reloads: Int) throws -> Bool {
        // Who may ask for an expired key may ask why.
        guard !standing.allowsExpired else { return false }
        do throws(GatewayError) {
            try AdmissionPolicy.checkSubscription(standing.key.snapshot, standing.group, now: .now)
            return false
        } catch {
            guard reloads == 0, standing.key.loadedAt.elapsed >= Authenticator.refusalLifetime else { throw error }
            return true
        }
    }

    /// Checks what a call rests on against Redis, for calls that reserve nothing, and tells them where their minute stands.
    func verified(_ first: Standing, _ exchange: ServerExchange) async throws -> Standing {
        var standing = first
        var reloads = 0
        var isLenient = false
        while true {
            if try needsReload(standing, reloads) {
                reloads += 1
                (standing, _) = try await reload(standing, isForgotten: false, reloads, exchange)
                continue
            }
            let (answer, minute) = try await context.admission.verify(standing.key, standing.group)
            if case .rateLimited(let rate, let milliseconds) = answer {
                throw refusal(.rateLimited(rate, milliseconds: milliseconds, minute), standing, exchange)
            }
            if answer == .current || (answer == .forgotten && isLenient) {
                if let minute { RateFields.add(minute, standing.key.snapshot, to: exchange) }
                return standing
            }
            reloads += 1
            (standing, isLenient) = try await reload(standing, isForgotten: answer == .forgotten, reloads, exchange)
        }
    }

    /// Reads again what a call rests on, and checks it again.
    ///
    /// - Returns: what stands now, and whether that may be relied on where Redis has forgotten the revisions: it was just
    ///   confirmed by the control plane, or that cannot be asked and the last good one counts.
    private func reload(
        _ old: Standing,
        isForgotten: Bool,
        _ reloads: Int,
        _ exchange: ServerExchange
    ) async throws -> (Standing, isLenient: Bool) {
        context.metrics.staleKeys.add()
        guard reloads <= Self.maximumReloads, !exchange.isCallerGone else { throw Authenticator.notReady }
        if isForgotten { await context.counters.rebuild(old.key.user) }
        let key = try Authenticator.key(in: await context.keys.lookUp(old.key.snapshot.hash))
        try AdmissionPolicy.check(
            key.snapshot,
            address: authenticator.clientAddress(exchange),
            now: .now,
            allowsExpired: old.allowsExpired
        )
        let new = try Standing(
            key,
            authenticator.currentConfig(),
            model: old.model,
            exchange.request.headers,
            allowsExpired: old.allowsExpired
        )
        if !isForgotten, new.isSame(as: old) {
            // The change is on its way here.
            await context.loop.sleep(Self.callerSlotPoll * reloads)
        }
        return (new, isForgotten)
    }

    private func requirePrice(_ call: Call) throws {
        guard !call.served.isPriced, !call.config.settings.allowsUnpricedModels else { return }
        throw GatewayError(.modelNotPriced, "This model has no price.", field: "model")
    }
}
