import Crypto
import Domain
import Formats
import HTTPMessages
import Testing

@testable import Providers

@Suite("The project of a Google login")
struct ProjectSearchTests {
    private func search(_ fields: [String: String] = [:]) -> ProjectSearch? {
        let account = ProviderAccount(platform: .antigravity, type: .oauth, fields: fields)
        return ProviderRegistry.provider(for: account)?.projectSearch(Secret("ya29"))
    }

    private func shown(_ step: ProjectSearch.Step) -> String {
        switch step {
        case .ask(let head, _, let pause): "\(head.target) after \(pause.components.seconds)"
        case .found(let name): "found \(name)"
        case .failed(let reason): reason
        }
    }

    @Test("an account that has one says which, as a text or an object; a named one is not looked for")
    func known() throws {
        #expect(search(["project_id": "mine"]) == nil)
        for project: JSON in ["p-1", ["id": "p-1"]] {
            var search = try #require(self.search())
            guard case .ask(let head, let body, _) = search.begin() else {
                Issue.record("nothing asked")
                return
            }
            #expect(head.target == "/v1internal:loadCodeAssist" && head.headers["authorization"] == "Bearer ya29")
            #expect(try JSON(body)["metadata"]?["ideType"] == "IDE_UNSPECIFIED")
            #expect(shown(search.next(["cloudaicompanionProject": project])) == "found p-1")
        }
    }

    @Test("one that has none gets one, and is asked after until it is there")
    func onboarded() throws {
        var search = try #require(self.search(["base_url": "https://google.example/base"]))
        _ = search.begin()
        let tiers: JSON = ["allowedTiers": [["id": "other"], ["id": "free-tier", "isDefault": true]]]
        guard case .ask(let head, let body, .zero) = search.next(tiers) else {
            Issue.record("not onboarded")
            return
        }
        #expect(head.target == "/base/v1internal:onboardUser")
        #expect(try JSON(body)["tierId"] == "free-tier")
        #expect(shown(search.next(["name": "operations/1"])) == "/base/v1internal:onboardUser after 2")
        let done: JSON = ["done": true, "response": ["cloudaicompanionProject": ["id": "p-2"]]]
        #expect(shown(search.next(done)) == "found p-2")
    }

    @Test("what leads nowhere is told, and nothing is asked for ever")
    func failures() throws {
        for answer: JSON in [[:], .null, ["allowedTiers": "x"], ["allowedTiers": [["id": ""]]]] {
            var search = try #require(self.search())
            #expect(shown(search.next(answer)) == "The provider offers the account no tier.")
        }
        var search = try #require(self.search())
        let own: JSON = ["allowedTiers": [["id": "standard-tier", "userDefinedCloudaicompanionProject": true]]]
        #expect(shown(search.next(own)).contains("set project_id"))
        search = try #require(self.search())
        // Names that could not stand in a request.
        #expect(shown(search.next(["cloudaicompanionProject": "a b"])).contains("no tier"))
        _ = search.next(["allowedTiers": [["id": "t"]]])
        for _ in 0..<4 { #expect(shown(search.next([:])) == "/v1internal:onboardUser after 2") }
        #expect(shown(search.next([:])) == "The provider is still making the project.")
        #expect(shown(search.next(["done": true, "response": [:]])) == "The provider made no project for the account.")
    }
}
