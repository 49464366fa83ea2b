import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

@Suite("The Antigravity simulator")
struct AntigravityTests {
    private static let bearer: HeaderFields = ["authorization": "Bearer ya29"]

    private func call(_ desk: Desk, _ method: String, _ body: JSON = [:]) -> AnswerPlan {
        desk.send("POST", "/v1internal:\(method)", Self.bearer, body.encoded)
    }

    private func ask(_ desk: Desk, model: String = "gemini-sim", _ more: JSON = [:]) -> AnswerPlan {
        let request: JSON = ["contents": [["role": "user", "parts": [["text": "Hello"]]]]]
        let body: JSON = ["model": .string(model), "project": "p", "request": request]
        return call(desk, "generateContent", body.merged(with: more))
    }

    @Test("answers are wrapped, and the project must have a name")
    func wrapped() {
        let desk = Desk()
        let plan = ask(desk)
        #expect(plan.json["response"]?["candidates"] != nil)
        #expect(plan.json["traceId"] != nil)
        #expect(plan.json["candidates"] == nil)
        let unnamed = ask(desk, ["project": ""])
        #expect(unnamed.status == 400)
        #expect(unnamed.errorMessage == "Invalid project resource name projects/")
        #expect(ask(desk, ["request": .null]).status == 400)
        #expect(ask(desk, ["model": .null]).status == 400)
        #expect(
            call(desk, "countTokens", ["request": ["contents": [["parts": [["text": "12345"]]]]]]).json["totalTokens"]
                == 2
        )
        #expect(desk.send("POST", "/v1internal:generateContent", ["x-goog-api-key": "k"], []).status == 401)
    }

    @Test("models, tier and credits are told")
    func account() throws {
        let desk = Desk()
        let models = call(desk, "fetchAvailableModels").json["models"]
        #expect(models?["gemini-sim"]?["quotaInfo"]?["remainingFraction"] == .double(0.58))
        desk.state.credits.set("ya29", amount: 77, tier: "g1-ultra-tier")
        let tier = call(desk, "loadCodeAssist").json["paidTier"]
        #expect(tier?["id"] == "g1-ultra-tier")
        #expect(tier?["availableCredits"]?[0]?["creditAmount"] == "77")
        #expect(call(desk, "onboardUser").json["done"] == true)
        #expect(call(desk, "unknown").status == 404)
    }

    @Test("an account that signs in without a project has one when it was asked to be onboarded twice")
    func onboarding() throws {
        let desk = Desk()
        desk.state.tokens.lacksProjects = true
        let form = "grant_type=refresh_token&refresh_token=1//x&client_id=c"
        let headers: HeaderFields = ["content-type": "application/x-www-form-urlencoded"]
        let token = try #require(desk.send("POST", "/token", headers, Array(form.utf8)).json["access_token"]?.string)
        func ask(_ method: String) -> JSON {
            desk.send("POST", "/v1internal:\(method)", ["authorization": "Bearer \(token)"], Array("{}".utf8)).json
        }
        #expect(ask("loadCodeAssist")["cloudaicompanionProject"] == nil)
        #expect(ask("loadCodeAssist")["allowedTiers"]?[0]?["isDefault"] == true)
        #expect(ask("onboardUser")["done"] == nil)
        #expect(ask("onboardUser")["response"]?["cloudaicompanionProject"]?["id"] == "sim-project")
        #expect(ask("loadCodeAssist")["cloudaicompanionProject"] == "sim-project")
    }

    @Test(
        "what is left of models can be set; nothing is left out as proto3's JSON does, and who is free has no credits"
    )
    func figures() throws {
        let desk = Desk()
        desk.state.usage.set("ya29", windows: [:], models: ["gemini-sim": 0, "new-model": 0.25], remaining: 1)
        let models = call(desk, "fetchAvailableModels").json["models"]
        #expect(models?["gemini-sim"]?["quotaInfo"]?["resetTime"] != nil)
        #expect(models?["gemini-sim"]?["quotaInfo"]?["remainingFraction"] == nil)
        #expect(models?["new-model"]?["quotaInfo"]?["remainingFraction"]?.double == 0.25)
        #expect(models?["gemini-2.5-flash"]?["quotaInfo"]?["remainingFraction"]?.double == 1)
        desk.state.credits.set("ya29", amount: 77, tier: "free-tier")
        let subscription = call(desk, "loadCodeAssist").json
        #expect(subscription["paidTier"] == nil && subscription["currentTier"]?["id"] == "free-tier")
    }

    @Test("answers about an account can be spoiled like any other", arguments: ["garbage", "emptybody"])
    func spoiled(words: String) {
        let desk = Desk()
        for method in ["fetchAvailableModels", "loadCodeAssist"] {
            #expect(desk.state.faults.arm(words, count: 1, credential: "ya29", model: nil) != nil)
            let plan = call(desk, method)
            #expect(plan.status == 200 && (try? JSON(plan.body)) == nil)
        }
    }

    @Test("a model whose quota is used up is served with credits, as long as there are any")
    func credits() {
        let desk = Desk()
        desk.state.credits.set("ya29", amount: 15, tier: nil)
        let limited = "gemini-sim-429quota60"
        let credits: JSON = ["enabledCreditTypes": ["GOOGLE_ONE_AI"]]
        #expect(ask(desk, model: limited).status == 429)
        let paid = ask(desk, model: limited, credits)
        #expect(paid.status == 200)
        #expect(paid.json["consumedCredits"]?[0]?["creditAmount"] == "10")
        #expect(paid.json["remainingCredits"]?[0]?["creditAmount"] == "5")
        let broke = ask(desk, model: limited, credits)
        #expect(broke.status == 429)
        #expect(broke.json["error"]?["details"]?[0]?["reason"] == "INSUFFICIENT_G1_CREDITS_BALANCE")
        let free = ask(desk, credits)
        #expect(free.status == 200)
        #expect(free.json["consumedCredits"] == nil)
    }

    @Test("with a key, Claude's and Gemini's paths stand under a prefix")
    func prefixed() {
        let desk = Desk()
        let body = Desk.request().encoded
        let claude = desk.send("POST", "/antigravity/v1/messages", Desk.key, body)
        #expect(claude.json["type"] == "message")
        let contents: JSON = ["contents": [["parts": [["text": "Hello"]]]]]
        let gemini = desk.send(
            "POST",
            "/antigravity/v1beta/models/gemini-sim:streamGenerateContent?alt=sse",
            ["x-goog-api-key": "k"],
            contents.encoded
        )
        #expect(gemini.events.last?.data["candidates"]?[0]?["finishReason"] == "STOP")
        #expect(desk.send("GET", "/antigravity/v1beta/models", ["x-goog-api-key": "k"]).status == 200)
        let banned = desk.ask(.antigravityKey, Dialect.Question(model: "claude-sim-403validation"))
        #expect(banned.errorMessage?.contains("verify your account at https://") == true)
        #expect(desk.send("POST", "/antigravity/antigravity/v1/messages", Desk.key, body).status == 0)
    }
}
