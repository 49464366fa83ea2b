package import Domain
import Reactor
package import Redis
package import Snapshots

/// What an admitted call goes on with.
package struct AdmissionGrant: Sendable {
    package let charge: CallCharge
    /// Reserved at most, in each counter.
    package let amount: NanoUSD
    /// The key's minute, where it has limits a minute.
    package let minute: MinuteFigures?
}

/// Where a key stands in its minute, the call just counted included.
package struct MinuteFigures: Equatable, Sendable {
    package var requests: Int64
    package var tokens: Int64
    /// Until the minute ends.
    package var milliseconds: Int64

    /// From the text of a script; nil where there is none: the key has no limits a minute.
    init?(_ text: [UInt8]) {
        let numbers = text.split(separator: UInt8(ascii: " ")).compactMap { Int64(String(decoding: $0, as: UTF8.self)) }
        guard numbers.count == 3 else { return nil }
        (requests, tokens, milliseconds) = (numbers[0], numbers[1], numbers[2])
    }
}

/// What admission decided.
package enum AdmissionAnswer: Sendable {
    case admitted(AdmissionGrant)
    /// Key, user or group have changed since this worker's snapshot: reload, then ask again.
    case stale
    /// Redis does not know the revisions or what has been spent: it has lost them, and the control plane has not written
    /// them again yet.
    case forgotten
    case keyQuotaExhausted
    /// Nil until a manual reset.
    case policyExhausted(until: Timestamp?)
    /// The group takes a subscription, and there is none at this time.
    case noSubscription
    case subscriptionExceeded(CounterNames.SubscriptionWindow, until: Timestamp)
    case balanceSpent
    /// What is left is reserved for other calls.
    case budgetInUse
    /// Redis has been new for seconds: what other calls have reserved under a strict policy may not be in it yet.
    case unsure
    /// Until that ends, and where the key itself stands then.
    case rateLimited(Rate, milliseconds: Int64, MinuteFigures?)
    /// As many calls as user or key may have at once are under way, or others wait in front: the call's place in the
    /// line beside this set of slots.
    case busy(String, WaitPlace)

    package enum Rate: Sendable { case userRequests, keyRequests, keyTokens }
}

/// What the checks of a call found that reserves nothing.
package enum RevisionAnswer: Equatable, Sendable {
    case current, stale, forgotten
    case rateLimited(AdmissionAnswer.Rate, milliseconds: Int64)
}

/// Admission in Redis: one script a call, on the partition of its user.
package final class AdmissionStore {
    private static let ok = Array("ok".utf8)

    /// What the script answered: its epoch alone to almost all calls, which is noted by then.
    private enum Answer {
        case admitted
        case parts([RedisValue])
        case failed(RedisError)
    }
    /// Windows are chosen again so often: only clocks that jump need more than two.
    private static let maximumPlans = 4
    /// Within this time all workers are connected again (`RedisClient`) and have said what their calls have reserved.
    package static let secondsToReserveAgain = 3
    private let redis: RedisClient
    /// Proposed where Redis has no epoch; random for each worker loop.
    private let proposedEpoch: String
    package var onEpoch: ((Partition, UnsafeRawBufferPointer) -> Void)?
    private var hasConnected = false
    /// Until when Redis may not know all that is reserved.
    private var isUnsureUntil: MonotonicTime?

    package init(_ redis: RedisClient, proposedEpoch: String) {
        self.redis = redis
        self.proposedEpoch = proposedEpoch
    }

    /// To be called at each new connection. A Redis that comes back, or another in its place, may lack the end of what the
    /// last one had, reservations among it, and still show the same epochs. The first
    /// connection comes back from nowhere.
    package func redisDidConnect() {
        if hasConnected { isUnsureUntil = .now + .seconds(Self.secondsToReserveAgain) }
        hasConnected = true
    }

    /// - Parameters:
    ///   - amount: what the call may cost at most, to be reserved.
    ///   - ticket: of a call that waits, if it has to.
    ///   - isLenient: accepts that Redis does not know the revisions or what has been spent (it lost them, and nobody is
    ///     there to write them again).
    /// - Throws: `RedisError`. The call may then have been admitted; its lease ends by itself.
    package func admit(
        _ requestID: String,
        _ key: ServingKey,
        _ group: ServingGroup,
        amount: NanoUSD,
        now: Timestamp,
        ticket: WaitTicket?,
        isLenient: Bool
    ) async throws -> AdmissionAnswer {
        var plan = key.plan(for: group, now: now, epoch: proposedEpoch)
        for _ in 0..<Self.maximumPlans {
            // By Redis' clock it has not begun, or is over.
            guard plan.hasPayer else { return .noSubscription }
            let state = state(isLenient: isLenient, plan.hasLines ? ticket : nil)
            let parts: [RedisValue]
            switch await ask(plan, requestID, max(0, amount.raw), state, key.partition.partition) {
            case .admitted:
                guard let charge = plan.charge else { throw RedisError.unexpectedAnswer }
                return .admitted(AdmissionGrant(charge: charge, amount: amount, minute: nil))
            case .parts(let found): parts = found
            case .failed(let error): throw error
            }
            guard parts.count >= 2, case .string(let code) = parts[0], case .string(let epoch) = parts[1] else {
                throw RedisError.unexpectedAnswer
            }
            if !epoch.isEmpty { epoch.withUnsafeBytes { onEpoch?(key.partition.partition, $0) } }
            if code == Self.ok, parts.count == 4, case .string(let choice) = parts[2],
                case .string(let minute) = parts[3], let charge = plan.charge(choice)
            {
                return .admitted(AdmissionGrant(charge: charge, amount: amount, minute: MinuteFigures(minute)))
            }
            let number = parts.count > 2 ? parts[2].integer ?? Int64(parts[2].text ?? "") ?? 0 : 0
            let time = Timestamp(microseconds: number &* 1000)
            let word = String(decoding: code, as: UTF8.self)
            if word == "user_busy" || word == "key_busy" {
                let line = word == "user_busy" ? key.userSlots : key.keySlots
                return .busy(line, WaitPlace(parts.count > 2 ? parts[2].text ?? "" : ""))
            }
            guard word == "window" else {
                let minute = parts.count > 3 ? parts[3].bytes.flatMap { MinuteFigures($0) } : nil
                return try Self.refusal(word, number, time, minute)
            }
            plan = key.plan(for: group, now: now, at: time, epoch: proposedEpoch)
        }
        throw RedisError.unexpectedAnswer
    }

    private func ask(
        _ plan: AdmissionPlan,
        _ requestID: String,
        _ amount: Int64,
        _ state: String,
        _ partition: Partition
    ) async -> Answer {
        await withUnsafeContinuation { continuation in
            let longest = requestID.utf8.count + 20 + state.utf8.count + 3 * RedisWriter.overhead
            redis.run(plan.run, atMost: longest) { rest in
                rest.add(requestID)
                rest.add(amount)
                rest.add(state)
            } then: { [self] answer in
                continuation.resume(returning: read(answer, partition))
            }
        }
    }

    private func read(_ answer: borrowing RedisReply, _ partition: Partition) -> Answer {
        if answer.withText({ onEpoch?(partition, $0) }) != nil { return .admitted }
        return switch answer.result {
        case .success(.array(let parts)): .parts(parts)
        case .success: .failed(.unexpectedAnswer)
        case .failure(let error): .failed(error)
        }
    }

    /// As the script takes it: nothing for almost all calls.
    private func state(isLenient: Bool, _ ticket: WaitTicket?) -> String {
        if let end = isUnsureUntil, end <= .now { isUnsureUntil = nil }
        let isUnsure = isUnsureUntil != nil
        guard isLenient || isUnsure || ticket != nil else { return "" }
        let digit = (isLenient ? 1 : 0) + (isUnsure ? 2 : 0)
        let (bound, since) = WaitTicket.texts(ticket)
        return "\(digit) \(bound.isEmpty ? "-" : bound) \(since.isEmpty ? "-" : since)"
    }

    private static func refusal(
        _ code: String,
        _ number: Int64,
        _ time: Timestamp,
        _ minute: MinuteFigures?
    ) throws -> AdmissionAnswer {
        switch code {
        case "stale": .stale
        case "forgotten": .forgotten
        case "quota": .keyQuotaExhausted
        case "policy": .policyExhausted(until: number == 0 ? nil : time)
        case "wallet": .balanceSpent
        case "in_use": .budgetInUse
        case "unsure": .unsure
        case "user_rate": .rateLimited(.userRequests, milliseconds: number, minute)
        case "key_rate": .rateLimited(.keyRequests, milliseconds: number, minute)
        case "tokens": .rateLimited(.keyTokens, milliseconds: number, minute)
        default:
            if let window = CounterNames.SubscriptionWindow(rawValue: code) {
                .subscriptionExceeded(window, until: time)
            } else {
                throw RedisError.unexpectedAnswer
            }
        }
    }

    /// Compares the revisions, and counts the call in its user's and key's minute: all that calls are checked for that
    /// reserve nothing.
    ///
    /// - Returns: also where the key stands in its minute then, where it has limits a minute.
    /// - Throws: `RedisError`.
    package func verify(_ key: ServingKey, _ group: ServingGroup) async throws -> (
        answer: RevisionAnswer, minute: MinuteFigures?
    ) {
        let fields = [key.keyField, key.userField, group.revisionField]
        let snapshot = key.snapshot
        let found: RedisValue
        var minute: MinuteFigures?
        if snapshot.rpm > 0 || snapshot.tpm > 0 || snapshot.userRPM > 0 {
            let answer = try await redis.run(
                CallScripts.count,
                keys: [key.partition.revisions, key.userRate, key.keyRate],
                arguments: fields + [String(snapshot.userRPM), String(snapshot.rpm), String(snapshot.tpm)]
            )
            guard case .array(let parts) = answer, parts.count == 4, let code = parts[1].text,
                let wait = Int64(parts[2].text ?? ""), case .string(let figures) = parts[3]
            else { throw RedisError.unexpectedAnswer }
            minute = MinuteFigures(figures)
            switch code {
            case "user_rate": return (.rateLimited(.userRequests, milliseconds: wait), minute)
            case "key_rate": return (.rateLimited(.keyRequests, milliseconds: wait), minute)
            case "tokens": return (.rateLimited(.keyTokens, milliseconds: wait), minute)
            default: found = parts[0]
            }
        } else {
            found = try await redis.send(RedisCommand(["HMGET", key.partition.revisions] + fields))
        }
        guard case .array(let known) = found, known.count == 3 else { throw RedisError.unexpectedAnswer }
        let mine = [snapshot.revision, snapshot.userRevision, group.snapshot.revision]
        var result = RevisionAnswer.current
        for (known, mine) in zip(known, mine) {
            guard known != .null else {
                result = .forgotten
                continue
            }
            guard let known = known.integer else { throw RedisError.unexpectedAnswer }
            if known > mine { return (.stale, minute) }
        }
        return (result, minute)
    }
}
