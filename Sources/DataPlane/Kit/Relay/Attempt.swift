import Decisions
import Dialects
import Domain
import Providers
import Snapshots
import Telemetry

/// One account's try at a call: to whom it goes, in which words, and how its answer comes back.
struct Attempt {
    let account: ServingAccount
    let upstreamModel: String
    /// What the upstream speaks.
    let dialect: Dialect
    /// Whether the answer's bytes are in the caller's dialect.
    let isNative: Bool
    /// Whether the answer's model is another than the caller named.
    let isRenamed: Bool
    /// Whether the caller did not ask for the usage that the upstream will report.
    let hidesUsage: Bool
    /// Whether it asks for a count of tokens that the account may lack: then an estimate stands in.
    let mayEstimate: Bool
    /// The class in which the caller sees the account's cache writes; nil where they stay as they came.
    let cacheTTL: CacheTTL?
    var form = AnswerForm.plain
    /// Since when the secrets that the request carries are the account's.
    var credentialVersion: Int64 = 0
    /// Whether the account's token is over and none came in its place.
    var lacksToken = false
    let startedAt = Timestamp.now

    /// Callers are not told where their calls go.
    var hiddenHosts: [String] { [account.target.host] }

    init(_ account: ServingAccount, _ call: Call) {
        self.account = account
        let mapped = account.mapping.upstreamModel(for: call.summary.model) ?? call.summary.model
        upstreamModel = account.provider.upstreamName(of: mapped)
        dialect = account.provider.dialect(for: call.route, model: mapped) ?? call.route.dialect
        isNative = dialect == call.route.dialect
        isRenamed = upstreamModel != call.summary.model
        cacheTTL = isNative && dialect == .anthropic ? account.snapshot.cacheTTLOverride : nil
        mayEstimate = Self.mayEstimate(account, call)
        hidesUsage = isNative && call.summary.usageRequest != nil
    }

    static func mayEstimate(_ account: ServingAccount, _ call: Call) -> Bool {
        call.route.action == .countTokens && account.provider.countsOptionally
    }
}
