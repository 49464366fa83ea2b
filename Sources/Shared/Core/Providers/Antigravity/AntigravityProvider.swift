package import Crypto
package import Domain
import Formats

/// Antigravity logins: the Gemini dialect, each request and answer wrapped (`v1internal`).
package struct AntigravityProvider: Provider {
    package static let defaultBaseURL = "https://cloudcode-pa.googleapis.com"

    package let target: UpstreamTarget
    private let project: String?
    private let overrides: [String: String]

    package init?(_ account: ProviderAccount) {
        guard let target = account.target(default: Self.defaultBaseURL) else { return nil }
        self.target = target
        project = account.fields["project_id"]
        overrides = account.headerOverrides
    }

    package func dialect(for route: CallRoute, model: String) -> Dialect? { route.action == .embed ? nil : .gemini }

    package func offers(_ model: String) -> Bool { model.hasPrefix("gemini-") || model.hasPrefix("claude-") }

    package func rewrites(_ call: UpstreamCall) -> Bool { true }

    package func request(for call: UpstreamCall) throws -> UpstreamRequest? {
        guard let token = call.secrets["access_token"] else { return nil }
        var head = UpstreamHead(to: target, call, forwarding: CallerHeaders.isForwardedToGoogle)
        head.add("authorization", "Bearer " + token.reveal())
        return UpstreamRequest(
            head.finish(
                "/v1internal" + GooglePaths.method(call),
                query: call.isStream ? "alt=sse" : "",
                overrides: overrides
            ),
            body: wrapped(call),
            // A count comes as it is.
            form: call.action == .countTokens ? .plain : .enveloped
        )
    }

    /// Where tokens are counted: `{"request":{"model":"models/…",…}}`.
    private func wrapped(_ call: UpstreamCall) -> [UInt8] {
        guard call.action == .countTokens else {
            return Envelope.wrap(call.body, model: call.model, project: project, usesCredits: call.usesCredits)
        }
        var json = JSONWriter(capacity: call.body.count + 256)
        json.object {
            $0.key("request")
            $0.object { request in
                request.member("model", "models/" + call.model)
                CountBody.appendMembers(of: call.body, without: "model", to: &request)
            }
        }
        return json.bytes
    }

    package var verdicts: VerdictTable { VerdictTable(AntigravityVerdicts()) }

    package var takesCredits: Bool { true }

    package var usage: (any UsageProbe)? {
        AntigravityUsage(target: target, project: project, overrides: overrides, verdicts: verdicts)
    }

    package func projectSearch(_ token: Secret) -> ProjectSearch? {
        project == nil ? ProjectSearch(target, overrides: overrides, token: token) : nil
    }
}
