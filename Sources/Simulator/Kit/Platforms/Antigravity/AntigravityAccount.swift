import Formats

/// What Antigravity's API says about an account: its models with their quotas, its tier and its credits.
enum AntigravityAccount {
    private static let models = [
        "gemini-sim", "gemini-3-pro-high", "gemini-3-pro-low", "gemini-2.5-flash", "claude-sonnet-4-5",
        "claude-opus-4-5-thinking",
    ]
    static let project = "sim-project"

    /// `:fetchAvailableModels`. `now` is in seconds since 1970.
    static func available(now: Int64) -> [UInt8] {
        let reset = RFC3339.format((now / 3600 + 5) * 3_600_000_000, .seconds)
        return JSONWriter.object { text in
            text.objectMember("models") { text in
                for model in models {
                    text.key(model)
                    text.object { text in
                        text.member("displayName", model)
                        text.member("model", model)
                        text.member("supportsThinking", true)
                        text.member("supportsImages", true)
                        text.member("maxTokens", 1_048_576)
                        text.member("maxOutputTokens", 65_536)
                        text.objectMember("quotaInfo") {
                            $0.member("remainingFraction", 0.58)
                            $0.member("resetTime", reset)
                        }
                    }
                }
            }
            text.member("defaultAgentModelId", "gemini-3-pro-high")
        }
    }

    /// `:loadCodeAssist`.
    static func subscription(tier: String, credits: Int) -> [UInt8] {
        JSONWriter.object { text in
            text.objectMember("currentTier") { writeTier("free-tier", to: &$0) }
            text.arrayMember("allowedTiers") { text in text.object { writeTier("free-tier", to: &$0) } }
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
            text.member("cloudaicompanionProject", project)
            text.member("gcpManaged", false)
        }
    }

    private static func writeTier(_ id: String, to text: inout JSONWriter) {
        text.member("id", id)
        text.member("name", id)
        text.member("description", "A tier of the simulator")
    }

    /// `:onboardUser`.
    static func onboarded() -> [UInt8] {
        JSONWriter.object { text in
            text.member("done", true)
            text.objectMember("response") { text in
                text.objectMember("cloudaicompanionProject") { $0.member("id", project) }
            }
        }
    }
}
