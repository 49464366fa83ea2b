package import Decisions
package import Dialects
package import Domain
import HTTPMessages
package import HTTPServing
package import Reactor
import Redis
import Snapshots
import Telemetry

/// One call from admission to settlement: what it holds, and how it is billed and logged.
package final class Call: LeaseHolder {
    /// Bytes of a caller's `User-Agent` that its record keeps.
    private static let longestUserAgent = 512

    package let context: WorkerContext
    package let exchange: ServerExchange
    package let requestID: String
    /// As it was when the call was admitted.
    package private(set) var standing: Standing
    package let summary: CallSummary
    /// Empty once content has reached the caller: no other account can try after that.
    package private(set) var body: [UInt8]
    package let route: CallRoute
    /// How the caller's dialect stands on the wire.
    package let wire: any WireDialect
    /// Whether the caller wants its stream as an array.
    package let isArray: Bool
    /// The one account that can go on from an earlier answer.
    package var boundAccount: AccountID?
    /// The conversation that it belongs to, where there is one.
    package private(set) var sticky: StickySession?
    package var session: CallSession?
    package let createdAt: Timestamp
    package let clientIP: String
    /// False for calls that reserve nothing.
    private var isAdmitted = false
    /// Who could serve it, and for what price: of the group that it was admitted to.
    private(set) lazy var served = context.candidates.of(group, route, model: summary.model)
    /// What the call costs at most as far as its body tells.
    package let size: ReservationSize
    /// What it was admitted against; nil for calls that reserve nothing.
    private var charge: CallCharge?
    private var reserved = NanoUSD.zero
    private var checkpointedAt: MonotonicTime?
    /// The last one: Redis may forget it.
    private var lastCheckpoint: [UInt8] = []
    private var journaledCheckpoints = JournaledCheckpoints()

    /// Whether the caller's slots are this call's; they end before it when the caller leaves.
    private var hasCallerSlots = false
    private var account: ServingAccount?
    private var accountSlots: AccountSlots?
    /// What the account said when it gave its slot.
    package private(set) var grant: SlotGrant?
    /// Whether the upstream has still to answer it as a probe.
    private var isProbe = false
    package var leasePosition: Int?
    private var isSettled = false
    package private(set) var end: UsageEnd?
    /// Whether it has its line in the log.
    package private(set) var isLogged = false
    package var attempts = 0
    var trace = CallTrace()
    package var askedUpstreamAt: MonotonicTime?
    package var silence = CallerSilence()
    package var firstContentAt: MonotonicTime?

    package init(
        context: WorkerContext,
        exchange: ServerExchange,
        requestID: String,
        standing: Standing,
        summary: CallSummary,
        body: [UInt8],
        route: CallRoute,
        createdAt: Timestamp,
        clientIP: String,
        size: ReservationSize
    ) {
        self.context = context
        self.exchange = exchange
        self.requestID = requestID
        self.standing = standing
        self.summary = summary
        self.body = body
        self.route = route
        wire = route.dialect.wire
        isArray = route.dialect == .gemini && route.isStream && CallerStream.isArray(exchange.request)
        self.createdAt = createdAt
        self.clientIP = clientIP
        self.size = size
    }

    package var config: GatewayConfig { standing.config }
    package var key: ServingKey { standing.key }
    package var group: ServingGroup { standing.group }
    /// Tokens are counted in one piece, whatever the body says.
    package var isStreaming: Bool { summary.isStream && route.action == .generate }

    /// What the call rests on has been read again.
    func rest(on standing: Standing) {
        let isSame = standing.group === group
        self.standing = standing
        // What the call asks again for while it waits is of an older configuration than others may have by then.
        guard !isSame else { return }
        served = context.candidates.of(group, route, model: summary.model)
    }

    /// Asks what the call's session is bound to, with what is sent next.
    func lookUpSession() {
        sticky = session.map { StickySession.lookUp($0, key.id, group.id, context.sessions) }
    }

    // MARK: What it holds

    /// Gives back what only another attempt would need.
    package func releaseBody() {
        body = []
        session = nil
        sticky = nil
    }

    package var heldSlots: [String] {
        let caller = hasCallerSlots ? key.heldSlots : []
        return accountSlots.map { caller + [$0.name] } ?? caller
    }

    package func didAdmit(_ standing: Standing, _ grant: AdmissionGrant) {
        self.standing = standing
        isAdmitted = true
        charge = grant.charge
        reserved = grant.amount
        // The key is in another group than it was.
        if let sticky, sticky.group != group.id { lookUpSession() }
        hasCallerSlots = !key.heldSlots.isEmpty
        context.leases.update(self)
    }

    package var holdsLeases: Bool {
        hasCallerSlots || accountSlots != nil || (isAdmitted && !isSettled && charge != nil)
    }

    package var reservation: HeldReservation? {
        guard isAdmitted, !isSettled, let charge else { return nil }
        return HeldReservation(
            partition: key.partition,
            charge: charge,
            amount: reserved,
            checkpoint: lastCheckpoint
        )
    }

    package func didAcquire(_ account: ServingAccount, _ slots: AccountSlots, _ grant: SlotGrant) {
        self.account = account
        accountSlots = slots
        self.grant = grant
        isProbe = grant.entry != .plain
        attempts += 1
        slots.state.lastUsed = MonotonicTime.now.nanoseconds
        context.metrics.accountSlots.add(1)
        context.leases.update(self)
    }

    /// The account is asked again under the same slot.
    ///
    /// - Parameter time: on Redis' clock.
    func beganAgain(at time: Timestamp, _ marks: AccountMarks) {
        grant?.grantedAt = time
        grant?.marks = marks
    }

    /// Gives the account's slot back: the attempt is over.
    ///
    /// - Parameter cost: what it cost, before the group's multiplier.
    package func releaseAccount(cost: NanoUSD = .zero) {
        guard let slots = accountSlots else { return }
        let counted = account?.snapshot.quota.isLimited == true ? cost : .zero
        if isProbe { endProbe(isTaken: false) }
        account = nil
        accountSlots = nil
        grant = nil
        context.metrics.accountSlots.add(-1)
        context.leases.update(self)
        slots.release(requestID: requestID, cost: counted)
    }

    /// The upstream has begun to answer: the next call may try out the account that comes back.
    func didGetHead() {
        if isProbe, grant?.entry == .halfOpen { endProbe(isTaken: true) }
    }

    /// The upstream has taken a call with which an account was tried out, or not: the next one may go.
    func endProbe(isTaken: Bool) {
        guard isProbe, let grant else { return }
        isProbe = false
        switch grant.entry {
        case .plain: break
        case .halfOpen: accountSlots?.endProbe(requestID: requestID, isTaken: isTaken)
        case .onGuard: context.guards.leave(group.id, requestID: requestID, hasWon: isTaken)
        }
    }

    /// The caller is gone: its own slot is free at once, while the answer may still be read to its end.
    package func releaseCaller() {
        guard hasCallerSlots else { return }
        dropCallerSlots()
        for set in key.heldSlots {
            context.redis.run(CallScripts.release, keys: [set], arguments: [requestID]) { _ in }
        }
    }

    private func dropCallerSlots() {
        guard hasCallerSlots else { return }
        hasCallerSlots = false
        context.leases.update(self)
    }

    // MARK: What its caller gets

    /// Begins the caller's stream before the upstream's is known.
    func startOwnStream() {
        guard !exchange.isResponseStarted else { return }
        CallerStream.start(exchange, CallerStream.head(requestID, isArray: isArray), isArray: isArray)
    }

    /// Notes whose answer it is, before the caller learns its id.
    func bind(response id: String, to account: AccountID) {
        let owner = ResponseBindings.Owner(key: key.id, account: account, model: summary.model)
        ResponseBindings.bind(id, to: owner, context.redis)
    }

    // MARK: How it ends

    /// Ends the call with nothing to bill.
    package func settleNothing() {
        guard !isSettled else { return }
        isSettled = true
        releaseAccount()
        guard isAdmitted else { return }
        giveBack()
        context.outbox.settleNothing(requestID, key, hasCheckpoint: checkpointedAt != nil)
        journaledCheckpoints.drop(from: context)
    }

    /// Ends the call: settlement is on its way to Redis before anything that is written to the caller after this.
    package func settle(
        usage: TokenUsage,
        others: [ModelUsage] = [],
        isEstimated: Bool,
        end: UsageEnd,
        status: Int,
        upstreamModel: String
    ) {
        guard !isSettled, let account else { return }
        isSettled = true
        self.end = end
        guard isAdmitted else { return releaseAccount() }
        var record = self.record(usage, isEstimated, end, status: status, upstreamModel, account)
        for other in others { add(other, to: &record, account) }
        settle(record)
        trace.billed(record)
        context.metrics.settled(record)
        if let firstContentAt {
            context.metrics.firstToken.record(microseconds: (firstContentAt - exchange.startedAt).wholeMicroseconds)
        }
        if let askedUpstreamAt {
            context.metrics.upstream.record(microseconds: askedUpstreamAt.elapsed.wholeMicroseconds)
        }
        log(record)
        releaseAccount(cost: record.accountCost)
    }

    /// What the call is billed when it has come to this.
    private func record(
        _ usage: TokenUsage,
        _ isEstimated: Bool,
        _ end: UsageEnd,
        status: Int,
        _ upstreamModel: String,
        _ account: ServingAccount
    ) -> UsageRecord {
        var record = UsageRecord(
            requestID: requestID,
            createdAt: createdAt,
            user: key.user,
            key: key.id,
            group: group.id,
            account: account.id,
            model: summary.model,
            upstreamModel: upstreamModel,
            dialect: route.dialect,
            isStream: summary.isStream,
            status: status
        )
        var usage = usage
        if let ttl = account.snapshot.cacheTTLOverride, usage.cacheWrite > 0 {
            usage = usage.writingCache(for: ttl)
            record.isCacheTTLOverridden = true
        }
        record.usage = usage
        record.multiplier = group.snapshot.multiplier
        record.accountMultiplier = account.snapshot.multiplier
        if let price = served.price {
            let multiplier = group.snapshot.multiplier
            let accountCost = PriceList.cost(of: usage, at: price, multipliers: account.snapshot.multiplier)
            record.accountCost = accountCost
            record.cost =
                multiplier == .one
                ? accountCost
                : PriceList.cost(of: usage, at: price, multipliers: multiplier, account.snapshot.multiplier)
            record.priceVersion = price.revision
        }
        record.durationMilliseconds = exchange.startedAt.elapsed.wholeMilliseconds
        record.firstTokenMilliseconds = firstContentAt.map { ($0 - exchange.startedAt).wholeMilliseconds }
        record.ip = clientIP
        record.userAgent =
            exchange.request.headers.withValue("user-agent") {
                String(decoding: $0.prefix(Self.longestUserAgent), as: UTF8.self)
            } ?? ""
        record.isEstimated = isEstimated
        record.end = end
        if let charge { record.limits = charge.limits }
        return record
    }

    /// What another model has done costs what that one does; the row has the tokens of all together.
    private func add(_ other: ModelUsage, to record: inout UsageRecord, _ account: ServingAccount) {
        var usage = other.usage
        if let ttl = account.snapshot.cacheTTLOverride, usage.cacheWrite > 0 {
            usage = usage.writingCache(for: ttl)
            record.isCacheTTLOverridden = true
        }
        record.usage = record.usage.adding(usage)
        // The asked model may have a price by the name it was asked by.
        let own = other.model == record.upstreamModel ? served.price : nil
        guard var price = own ?? group.prices.price(of: other.model) ?? served.price else { return }
        // Paid with the call itself.
        price.request = .zero
        let second = account.snapshot.multiplier
        record.accountCost = record.accountCost + PriceList.cost(of: usage, at: price, multipliers: second)
        record.cost =
            record.cost + PriceList.cost(of: usage, at: price, multipliers: group.snapshot.multiplier, second)
    }

    /// Notes in Redis what is billed if this worker dies: at once when content begins, then every 5 seconds.
    package func checkpoint(
        at now: MonotonicTime,
        usage: () -> TokenUsage,
        others: [ModelUsage] = [],
        status: Int,
        upstreamModel: String
    ) {
        guard isAdmitted, !isSettled, let account, charge != nil else { return }
        if let checkpointedAt, now - checkpointedAt < context.checkpointInterval { return }
        checkpointedAt = now
        var record = self.record(usage(), true, .workerLost, status: status, upstreamModel, account)
        for other in others { add(other, to: &record, account) }
        record.phase = .swept
        let encoded = record.encoded
        reserved = max(reserved, record.cost)
        lastCheckpoint = HeldReservation.checkpoint(encoded, cost: record.cost)
        var rest = RedisArguments(capacity: encoded.count + requestID.utf8.count + 60)
        rest.add(requestID)
        rest.add(encoded)
        rest.add(record.cost.raw)
        context.redis.run(key.checkpoint, rest) { [self] result in
            switch result {
            case .success(let answer):
                if case .string(let epoch) = answer, !epoch.isEmpty {
                    epoch.withUnsafeBytes { context.outbox.noteEpoch(key.partition.partition, $0) }
                }
                journaledCheckpoints.drop(from: context)
            case .failure: if !isSettled { journaledCheckpoints.keep(encoded, in: context) }
            }
        }
    }

    private func settle(_ record: borrowing UsageRecord) {
        giveBack()
        context.outbox.settle(
            requestID,
            key,
            record: record,
            charge: charge,
            hasCheckpoint: checkpointedAt != nil
        )
        journaledCheckpoints.drop(from: context)
    }

    /// What the settlement gives back is no longer renewed.
    private func giveBack() {
        dropCallerSlots()
        context.leases.update(self)
    }

    private func log(_ record: UsageRecord) {
        isLogged = true
        let texts = requestID.utf8.count + record.model.utf8.count + record.upstreamModel.utf8.count
        context.log.write(.info, "call", atMost: 640 + 6 * texts) { line in
            line.add("request_id", record.requestID)
            line.add("user_id", record.user.raw)
            line.add("key_id", record.key.raw)
            line.add("group_id", record.group.raw)
            line.add("account_id", record.account.raw)
            line.add("model", record.model)
            if record.upstreamModel != record.model { line.add("upstream_model", record.upstreamModel) }
            line.add("stream", record.isStream)
            line.add("status", Int64(record.status))
            line.add("end", record.end.rawValue)
            line.add("attempts", Int64(attempts))
            line.add("duration_ms", record.durationMilliseconds)
            if let first = record.firstTokenMilliseconds { line.add("first_token_ms", first) }
            line.add("input_tokens", record.usage.input)
            line.add("output_tokens", record.usage.output)
            line.add("cost", record.cost)
        }
    }
}

extension Duration {
    var wholeMilliseconds: Int64 { max(0, nanoseconds / 1_000_000) }
    /// Rounded up, at least 1.
    var wholeSecondsUp: Int {
        Int(clamping: max(1, nanoseconds / 1_000_000_000 + (nanoseconds % 1_000_000_000 > 0 ? 1 : 0)))
    }
    var wholeMicroseconds: Int { Int(max(0, nanoseconds / 1000)) }
}
