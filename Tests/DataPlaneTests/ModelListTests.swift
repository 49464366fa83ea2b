import Domain
import Formats
import GatewayKit
import HTTPFetching
import HTTPMessages
import Redis
import Snapshots
import TestSupport
import Testing

@Suite(
    "Lists of models",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct ModelListTests {
    private static func models(_ stand: Stand, _ body: (inout ConfigSnapshot) -> Void) async throws -> [String] {
        stand.changeConfig(body)
        stand.context.config = GatewayConfig(stand.config)
        let answer = try await stand.get("/v1/models")
        return try JSON(Array(answer.body.utf8))["data"]?.array?.compactMap { $0["id"]?.string } ?? []
    }

    private static func price(_ model: String) -> ModelPrice {
        ModelPrice(
            model: model,
            match: .exact,
            revision: 4,
            input: PricePerMillion(3_000_000_000),
            output: PricePerMillion(15_000_000_000)
        )
    }

    @Test("beside an account's names stand the priced models that its patterns serve")
    func patterns() async throws {
        try await standing { (stand) async throws in
            let models = try await Self.models(stand) { config in
                config.prices += ["claude-a-1", "claude-b-1"].map { Self.price($0) }
                config.accounts[0].modelMapping = ["claude-quick": "claude-a-1", "claude-a-*": "claude-a-*"]
            }
            #expect(models == ["claude-a-1", "claude-quick"])
        }
    }

    @Test(
        "a pattern that leads to another family, or to a model that it names, lists what it serves, on every path",
        arguments: [
            (Platform.gemini, "claude-*", "gemini-2.5-pro", "claude-a-1"),
            (.antigravity, "gpt-*", "gemini-2.5-pro", "gpt-a-1"), (.anthropic, "gpt-*", "claude-a-1", "gpt-a-1"),
            (.openai, "claude-*", "gpt-5", "claude-a-1"), (.openai, "gemini-*", "own-model", "gemini-a-1"),
        ]
    )
    func otherFamily(platform: Platform, pattern: String, target: String, model: String) async throws {
        var options = Stand.Options()
        (options.platform, options.mapping) = (platform, [pattern: target])
        try await standing(options) { (stand) async throws in
            let models = try await Self.models(stand) { config in
                config.prices += ["claude-a-1", "gpt-a-1", "gemini-a-1"].map { Self.price($0) }
            }
            #expect(models == [model])
            let list = try await stand.get("/v1beta/models")
            let names = try JSON(Array(list.body.utf8))["models"]?.array?.compactMap { $0["name"]?.string }
            #expect(names == ["models/\(model)"])
            for path in ["/v1/models/", "/v1beta/models/"] {
                for name in ["claude-a-1", "gpt-a-1", "gemini-a-1"] {
                    #expect(try await stand.get(path + name).status == (name == model ? 200 : 404), "\(path + name)")
                }
            }
        }
    }

    @Test("a pattern that passes on what a caller says lists only what the provider has")
    func passedOn() async throws {
        try await standing { (stand) async throws in
            let models = try await Self.models(stand) { config in
                config.prices += ["claude-a-1", "my-claude-a-1", "my-gpt-a-1"].map { Self.price($0) }
                config.accounts[0].modelMapping = ["my-*": "*"]
            }
            #expect(models == ["my-claude-a-1"])
        }
    }

    @Test("a model with a slash in its name is found by its own path, encoded or not")
    func slash() async throws {
        try await standing { (stand) async throws in
            _ = try await Self.models(stand) { config in
                config.prices.append(Self.price("maker/quick+"))
                config.accounts[0].modelMapping = ["maker/quick+": "claude-a-1"]
            }
            for path in ["/v1/models/maker/quick+", "/v1/models/maker%2Fquick%2B", "/v1/models/maker%2fquick+"] {
                let answer = try await stand.get(path)
                #expect(answer.status == 200, "\(path)")
                #expect(try JSON(Array(answer.body.utf8))["id"] == "maker/quick+")
            }
        }
    }

    @Test("a model that would be refused for want of a price is not listed, unless such models are served")
    func unpriced() async throws {
        try await standing { (stand) async throws in
            let priced = try await Self.models(stand) { config in
                config.accounts[0].modelMapping = ["claude-quick": "claude-a-1", "quick": "claude-a-1"]
            }
            #expect(priced == ["claude-quick"])
            let all = try await Self.models(stand) { config in
                _ = config.settings.set("allow_unpriced_models", 1)
            }
            #expect(all == ["claude-quick", "quick"])
        }
    }

    @Test("a model of the group's own list that is served under its family's price is listed")
    func allowed() async throws {
        try await standing { (stand) async throws in
            let models = try await Self.models(stand) { config in
                config.groups[0].modelAllowlist = ["claude-new", "gpt-new", "nobodys-new"]
            }
            #expect(models == ["claude-new"])
        }
    }
}
