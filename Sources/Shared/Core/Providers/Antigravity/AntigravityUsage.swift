import Crypto
import Domain
import Formats
import HTTPMessages

/// Antigravity's models with what is left of each (`:fetchAvailableModels`), and the subscription with its AI credits
/// (`:loadCodeAssist`). Undocumented; read here are
/// `{"models": {NAME: {"quotaInfo": {"remainingFraction": 0.58, "resetTime": "…"}}}}` and
/// `{"currentTier": {"id"}, "paidTier": {"id", "availableCredits": [{"creditType", "creditAmount", …}]}}`.
struct AntigravityUsage: UsageProbe {
    let target: UpstreamTarget
    let project: String?
    let overrides: [String: String]
    let verdicts: VerdictTable

    /// More models and credits than this are no answer worth keeping.
    private static let most = 200

    func questions(_ secrets: [String: Secret]) -> [UsageQuestion]? {
        guard let token = secrets["access_token"] else { return nil }
        func head(_ method: String) -> HTTPRequestHead {
            var head = UpstreamHead(to: target, HeaderFields(), forwarding: { _ in false })
            head.add("accept", "application/json")
            head.add("authorization", "Bearer " + token.reveal())
            return head.finish("/v1internal:" + method, overrides: overrides)
        }
        var models: JSON = [:]
        var subscription: JSON = ["metadata": ["ideType": "IDE_UNSPECIFIED", "pluginType": "PLUGIN_UNSPECIFIED"]]
        if let project {
            models["project"] = .string(project)
            subscription["cloudaicompanionProject"] = .string(project)
        }
        return [
            UsageQuestion(.models, head("fetchAvailableModels"), body: models.encoded),
            // An account whose models are known is not the worse for not telling its tier.
            UsageQuestion(.subscription, head("loadCodeAssist"), body: subscription.encoded, isEssential: false),
        ]
    }

    func read(
        _ answer: JSON,
        to question: UsageQuestion.Subject,
        now: Timestamp,
        into usage: inout AccountUsage
    ) -> Bool {
        switch question {
        case .windows: false
        case .models: readModels(answer, now: now, into: &usage)
        case .subscription: readSubscription(answer, into: &usage)
        }
    }

    private func readModels(_ answer: JSON, now: Timestamp, into usage: inout AccountUsage) -> Bool {
        guard let models = answer["models"]?.object else { return false }
        var reader = ResetReader(now: now)
        var windows: [String: UsageWindow] = [:]
        for (name, model) in models.prefix(Self.most) {
            guard let quota = model["quotaInfo"], quota.object != nil, name.utf8.count <= 200 else { continue }
            // A fraction of zero is left out, as proto3's JSON leaves out every default.
            let fraction = quota["remainingFraction"] ?? .int(0)
            guard let used = UsageFigures.used(remainingFraction: fraction) else { continue }
            windows[name] = UsageWindow(
                used: used,
                endsAt: reader.time(quota["resetTime"], "resetTime"),
                isExhausted: used >= UsageWindow.whole
            )
        }
        usage.models = windows
        return true
    }

    private func readSubscription(_ answer: JSON, into usage: inout AccountUsage) -> Bool {
        guard answer.object != nil else { return false }
        let paid = answer["paidTier"]
        let tier = [paid, answer["currentTier"]].lazy.compactMap { tier in
            [tier?["id"]?.string, tier?["name"]?.string].lazy.compactMap { $0 }.first { !$0.isEmpty }
        }.first
        if let tier { usage.tier = String(tier.unicodeScalars.prefix(100).map { Character($0) }) }
        usage.credits = (paid?["availableCredits"]?.array ?? []).prefix(Self.most).compactMap { credit in
            guard let type = credit["creditType"]?.string, !type.isEmpty, type.utf8.count <= 100 else { return nil }
            return CreditBalance(
                type: type,
                amount: UsageFigures.count(credit["creditAmount"]),
                minimum: UsageFigures.count(credit["minimumCreditAmountForUsage"])
            )
        }
        return tier != nil || !usage.credits.isEmpty
    }
}
