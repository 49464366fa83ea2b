package import Crypto
package import Dialects
package import Domain
package import Formats
package import HTTPMessages

/// How an account's upstream is called: the one thing a platform's folder has to offer.
package protocol Provider: Sendable {
    /// Where the calls go.
    var target: UpstreamTarget { get }
    /// The dialect in which such a call is put to the upstream; nil when it has nothing for it.
    func dialect(for route: CallRoute, model: String) -> Dialect?
    /// The name under which the upstream has a model.
    func upstreamName(of model: String) -> String
    /// Whether a priced model is one of those that accounts without a mapping serve.
    func offers(_ model: String) -> Bool
    /// Nil when a credential is missing.
    ///
    /// - Throws: `GatewayError` when the caller asks for what may not be sent.
    func request(for call: UpstreamCall) throws -> UpstreamRequest?
    /// Whether the call's body goes up as another than it is: what that takes grows with the body.
    func rewrites(_ call: UpstreamCall) -> Bool
    /// The request that reads an earlier answer again; nil where the upstream keeps none.
    func lookup(response id: String, caller: HeaderFields, query: Substring, _ secrets: [String: Secret])
        -> HTTPRequestHead?
    /// Reads an error body; nil when it is none of the upstream's own: a proxy's page, for example.
    func error(_ body: [UInt8], _ headers: HeaderFields, in dialect: Dialect, _ parser: JSONParser)
        -> UpstreamErrorBody?
    /// Whether counting tokens is an extra that an account may lack, or not be allowed: a refusal then says nothing of
    /// the account, and an estimate stands in.
    var countsOptionally: Bool { get }
    /// What answers mean.
    var verdicts: VerdictTable { get }
    /// Whether calls beyond a limit of the plan can be paid with the account's AI credits.
    var takesCredits: Bool { get }
    /// Whether its calls are counted in windows of five hours that begin with a call, so that their end can be predicted.
    var hasSessionWindows: Bool { get }
    /// How it is asked what of the account is used; nil where it cannot be asked.
    var usage: (any UsageProbe)? { get }
    /// How the project is found that the account's calls are made in; nil where there are none, or it is known.
    func projectSearch(_ token: Secret) -> ProjectSearch?
}

extension Provider {
    package func lookup(response id: String, caller: HeaderFields, query: Substring, _ secrets: [String: Secret])
        -> HTTPRequestHead?
    { nil }

    package func upstreamName(of model: String) -> String { model }

    package var countsOptionally: Bool { false }

    package func rewrites(_ call: UpstreamCall) -> Bool { false }

    package var takesCredits: Bool { false }

    package var hasSessionWindows: Bool { false }

    package var usage: (any UsageProbe)? { nil }

    package func projectSearch(_ token: Secret) -> ProjectSearch? { nil }

    package func error(_ body: [UInt8], _ headers: HeaderFields, in dialect: Dialect, _ parser: JSONParser)
        -> UpstreamErrorBody?
    { dialect.wire.error(body, parser) }
}

/// An account as its provider sees it.
package struct ProviderAccount: Sendable {
    package var platform: Platform
    package var type: AccountType
    /// The credential fields that are no secret.
    package var fields: [String: String]
    package var headerOverrides: [String: String]
    package var betaPolicy: BetaPolicy

    package init(
        platform: Platform,
        type: AccountType,
        fields: [String: String] = [:],
        headerOverrides: [String: String] = [:],
        betaPolicy: BetaPolicy = BetaPolicy()
    ) {
        self.platform = platform
        self.type = type
        self.fields = fields
        self.headerOverrides = headerOverrides
        self.betaPolicy = betaPolicy
    }

    /// The account's base URL, or the platform's; nil when it cannot be used.
    ///
    /// - Parameter suffix: of the URL's path; what an admin may have written with or without it (`/v1`).
    func target(default url: String, without suffix: String = "") -> UpstreamTarget? {
        let given = fields["base_url"] ?? ""
        return UpstreamTarget(baseURL: given.isEmpty ? url : given)?.without(suffix: suffix)
    }
}

/// One call as it is put to an upstream.
package struct UpstreamCall: Sendable {
    /// The dialect of `body`.
    package var dialect: Dialect
    package var action: CallRoute.Action
    package var isStream: Bool
    /// The upstream's name for the model; where the dialect has it in the body, it stands there already.
    package var model: String
    package var body: [UInt8]
    package var callerHeaders: HeaderFields
    /// Undecoded.
    package var callerQuery: Substring
    /// Whether the caller spoke another dialect: its headers and query mean nothing to the upstream then.
    package var isTranslated: Bool
    /// Whether it may be paid with the account's AI credits.
    package var usesCredits: Bool
    package var secrets: [String: Secret]
    package var now: Timestamp

    package init(
        dialect: Dialect,
        action: CallRoute.Action = .generate,
        isStream: Bool = false,
        model: String,
        body: [UInt8],
        callerHeaders: HeaderFields = [:],
        callerQuery: Substring = "",
        isTranslated: Bool = false,
        usesCredits: Bool = false,
        secrets: [String: Secret] = [:],
        now: Timestamp
    ) {
        self.dialect = dialect
        self.action = action
        self.isStream = isStream
        self.model = model
        self.body = body
        self.callerHeaders = callerHeaders
        self.callerQuery = callerQuery
        self.isTranslated = isTranslated
        self.usesCredits = usesCredits
        self.secrets = secrets
        self.now = now
    }
}

package struct UpstreamRequest: Sendable {
    package var head: HTTPRequestHead
    package var body: [UInt8]
    package var form: AnswerForm

    package init(_ head: HTTPRequestHead, body: [UInt8], form: AnswerForm = .plain) {
        self.head = head
        self.body = body
        self.form = form
    }
}

/// How an upstream wraps the answers of its dialect.
package enum AnswerForm: Sendable {
    /// Not at all; streams are Server-Sent Events.
    case plain
    /// Each JSON object stands in a member `response` of another (Antigravity).
    case enveloped
    /// Streams are AWS event streams (Bedrock).
    case awsEventStream
    /// Also a whole answer comes as a stream, whose last event has all of it (OpenAI logins).
    case alwaysStream
}
