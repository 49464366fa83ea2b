import Crypto
package import Formats
package import HTTPMessages

/// Finds the project that a Google login's calls are made in, where nobody has named one. Pure: somebody else asks.
///
/// Undocumented. `:loadCodeAssist` names the project of an account that has one, as a text or as `{"id"}`, and else the
/// tiers that it may take: `{"allowedTiers": [{"id", "isDefault", "userDefinedCloudaicompanionProject"}]}`.
/// `:onboardUser` then begins to make a project, and is asked again until it says
/// `{"done": true, "response": {"cloudaicompanionProject": {"id"}}}`.
package struct ProjectSearch: Sendable {
    package enum Step: Sendable {
        case ask(HTTPRequestHead, body: [UInt8], after: Duration)
        case found(String)
        /// Why there is none, for admins.
        case failed(String)
    }

    /// How often a project that is being made is asked after.
    private static let mostQuestions = 5
    private static let pause = Duration.seconds(2)
    private static let longestName = 200

    private let target: UpstreamTarget
    private let overrides: [String: String]
    private let token: Secret
    /// Nil until it is known that there is no project yet.
    private var tier: String?
    private var questions = 0

    init(_ target: UpstreamTarget, overrides: [String: String], token: Secret) {
        self.target = target
        self.overrides = overrides
        self.token = token
    }

    package func begin() -> Step { ask("loadCodeAssist", [:], after: .zero) }

    /// What follows from an answer of success to the question before.
    package mutating func next(_ answer: JSON) -> Step {
        if tier == nil {
            if let name = Self.name(answer["cloudaicompanionProject"]) { return .found(name) }
            let tiers = answer["allowedTiers"]?.array ?? []
            let offered = tiers.first { $0["isDefault"]?.bool == true } ?? tiers.first
            guard let offered, let id = offered["id"]?.string, !id.isEmpty, id.utf8.count <= Self.longestName else {
                return .failed("The provider offers the account no tier.")
            }
            guard offered["userDefinedCloudaicompanionProject"]?.bool != true else {
                return .failed("The account's tier needs a project of its own: set project_id.")
            }
            tier = id
            return onboard(after: .zero)
        }
        if answer["done"]?.bool == true {
            let name = Self.name(answer["response"]?["cloudaicompanionProject"])
            return name.map { .found($0) } ?? .failed("The provider made no project for the account.")
        }
        guard questions < Self.mostQuestions else { return .failed("The provider is still making the project.") }
        return onboard(after: Self.pause)
    }

    private mutating func onboard(after pause: Duration) -> Step {
        questions += 1
        return ask("onboardUser", ["tierId": .string(tier ?? "")], after: pause)
    }

    private func ask(_ method: String, _ more: JSON, after pause: Duration) -> Step {
        let body: JSON = ["metadata": ["ideType": "IDE_UNSPECIFIED", "pluginType": "PLUGIN_UNSPECIFIED"]]
        var head = UpstreamHead(to: target, HeaderFields(), forwarding: { _ in false })
        head.add("accept", "application/json")
        head.add("authorization", "Bearer " + token.reveal())
        return .ask(
            head.finish("/v1internal:" + method, overrides: overrides),
            body: body.merged(with: more).encoded,
            after: pause
        )
    }

    private static func name(_ json: JSON?) -> String? {
        guard let name = json?.string ?? json?["id"]?.string, !name.isEmpty, name.utf8.count <= longestName,
            name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else { return nil }
        return name
    }
}
