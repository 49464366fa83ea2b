import Formats

/// What Antigravity's API says about an account: its models with their quotas, its tier and its credits.
enum AntigravityAccount {
    private static let models = [
        "gemini-sim", "gemini-3-pro-high", "gemini-3-pro-low", "gemini-2.5-flash", "claude-sonnet-4-5",
        "claude-opus-4-5-thinking",
    ]
    static let project = "sim-project"
    /// Who has no other one pays nothing.
    private static let freeTier = "free-tier"

    /// `:fetchAvailableModels`. `now` is in seconds since 1970.
    static func available(_ figures: UsageFigures.Figures, now: Int64) -> [UInt8] {
        let reset = RFC3339.format((now / 3600 + 5) * 3_600_000_000, .seconds)
        return JSONWriter.object { text in
            text.objectMember("models") { text in
                for model in models + figures.models.keys.filter({ !models.contains($0) }).sorted() {
                    text.key(model)
                    text.object { text in
                        text.member("displayName", model)
                        text.member("model", model)
                        text.member("supportsThinking", true)
                        text.member("supportsImages", true)
                        text.member("maxTokens", 1_048_576)
                        text.member("maxOutputTokens", 65_536)
                        text.objectMember("quotaInfo") {
                            let left = figures.models[model] ?? figures.remaining
                            // As proto3's JSON leaves out every default.
                            if left != 0 { $0.member("remainingFraction", left) }
                            $0.member("resetTime", reset)
                        }
                    }
                }
            }
            text.member("defaultAgentModelId", "gemini-3-pro-high")
        }
    }

    /// `:loadCodeAssist`.
    ///
    /// - Parameter tier: `free-tier` for an account without a subscription, which has no credits either.
    static func subscription(tier: String, credits: Int, hasProject: Bool) -> [UInt8] {
        JSONWriter.object { text in
            if hasProject { text.objectMember("currentTier") { writeTier(freeTier, to: &$0) } }
            text.arrayMember("allowedTiers") { text in
                text.object {
                    writeTier(freeTier, to: &$0)
                    $0.member("isDefault", true)
                }
            }
            if tier != freeTier {
                text.objectMember("paidTier") { text in
                    writeTier(tier, to: &text)
                    text.arrayMember("availableCredits") { text in
                        text.object {
                            $0.member("creditType", "GOOGLE_ONE_AI")
                            $0.member("creditAmount", String(credits))
                            $0.member("minimumCreditAmountForUsage", String(CreditAccounts.price))
                        }
                    }
                }
            }
            if hasProject { text.member("cloudaicompanionProject", project) }
            text.member("gcpManaged", false)
        }
    }

    private static func writeTier(_ id: String, to text: inout JSONWriter) {
        text.member("id", id)
        text.member("name", id)
        text.member("description", "A tier of the simulator")
    }

    /// `:onboardUser`.
    ///
    /// - Parameter isDone: whether the account has its project by now.
    static func onboarded(isDone: Bool) -> [UInt8] {
        JSONWriter.object { text in
            guard isDone else { return text.member("name", "operations/onboard-sim") }
            text.member("done", true)
            text.objectMember("response") { text in
                text.objectMember("cloudaicompanionProject") { $0.member("id", project) }
            }
        }
    }
}
