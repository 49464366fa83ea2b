import Decisions
import Dialects
import Domain
import Providers
import Snapshots
import Telemetry

/// One account's try at a call: to whom it goes, in which words, and how its answer comes back.
struct Attempt {
    let candidate: Candidate
    /// Whether the caller did not ask for the usage that the upstream will report.
    let hidesUsage: Bool
    var form = AnswerForm.plain
    /// Since when the secrets that the request carries are the account's.
    var credentialVersion: Int64 = 0
    /// Whether the account's token is over and none came in its place.
    var lacksToken = false
    let startedAt = Timestamp.now

    init(_ candidate: Candidate, _ call: Call) {
        self.candidate = candidate
        hidesUsage = candidate.isNative && call.summary.usageRequest != nil
    }

    var account: ServingAccount { candidate.account }
    var upstreamModel: String { candidate.model }
    var dialect: Dialect { candidate.dialect }
    var isNative: Bool { candidate.isNative }
    var isRenamed: Bool { candidate.isRenamed }
    var mayEstimate: Bool { candidate.mayEstimate }
    var cacheTTL: CacheTTL? { candidate.cacheTTL }

    /// Callers are not told where their calls go.
    var hiddenHosts: [String] { [account.target.host] }
}
