/// How a call ended.
package enum UsageEnd: String, Sendable, CaseIterable {
    case complete
    case callerGone = "caller_gone"
    case upstreamCut = "upstream_cut"
    case errorEvent = "error_event"
    case workerLost = "worker_lost"
}

/// Which of two records of one call stands: a final one replaces what the sweeper settled for a lost worker.
package enum SettlementPhase: String, Sendable {
    case swept
    case final
}

/// Everything that settlement needs to know of one call, frozen when it was admitted and completed when it ended.
package struct UsageRecord: Hashable, Sendable {
    package var requestID: String
    package var phase: SettlementPhase = .final
    /// When it was admitted: decides the row's partition and the day it counts for.
    package var createdAt: Timestamp
    package var user: UserID
    package var key: KeyID
    package var group: GroupID
    package var account: AccountID
    /// The model the caller named.
    package var model: String
    /// The model the upstream was asked for.
    package var upstreamModel: String
    package var dialect: Dialect
    package var isStream: Bool
    package var usage = TokenUsage()
    package var cost = NanoUSD.zero
    /// The cost before the group's multiplier: what counts against the account's quotas.
    package var accountCost = NanoUSD.zero
    package var multiplier = Multiplier.one
    package var accountMultiplier = Multiplier.one
    package var priceVersion: Int64 = 0
    package var durationMilliseconds: Int64 = 0
    package var firstTokenMilliseconds: Int64?
    package var status: Int
    package var ip = ""
    package var userAgent = ""
    package var isEstimated = false
    package var isCacheTTLOverridden = false
    package var end = UsageEnd.complete
    package var limits = FrozenLimits()

    package init(
        requestID: String,
        createdAt: Timestamp,
        user: UserID,
        key: KeyID,
        group: GroupID,
        account: AccountID,
        model: String,
        upstreamModel: String,
        dialect: Dialect,
        isStream: Bool,
        status: Int
    ) {
        self.requestID = requestID
        self.createdAt = createdAt
        self.user = user
        self.key = key
        self.group = group
        self.account = account
        self.model = model
        self.upstreamModel = upstreamModel
        self.dialect = dialect
        self.isStream = isStream
        self.status = status
    }
}
