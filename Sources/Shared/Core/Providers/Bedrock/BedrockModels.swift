import HTTPMessages

/// The names that Claude models have on Bedrock.
///
/// Newer models are only served through inference profiles: their id begins with the geography that calls may be routed
/// in (`us.anthropic.claude-…`). Sources: platform.claude.com, "Claude on Amazon Bedrock (Opus 4.6 and earlier)"; the
/// Bedrock guide, "Adaptive thinking" (the ids of newer models: no date, no version) and "Regional availability" (the
/// geographies US, EU, APAC, JP, AU and global); `us-gov` from AWS CDK, `CrossRegionInferenceProfileRegion`. Whatever else
/// a region has an admin can name by an account's model mapping.
package enum BedrockModels {
    private struct Model {
        var name: String
        /// Beside the name itself.
        var aliases: [String] = []
        var id: String
        /// Prefixes of its inference profiles.
        var profiles: Set<String>
    }

    private static let models: [Model] = [
        Model(name: "claude-opus-5-5", id: "anthropic.claude-opus-5-5", profiles: ["global", "us", "eu", "jp"]),
        Model(
            name: "claude-opus-4-6",
            aliases: ["claude-opus-4-6-20260205"],
            id: "anthropic.claude-opus-4-6-v1",
            profiles: ["global", "us", "eu", "jp", "apac"]
        ),
        Model(name: "claude-sonnet-4-6", id: "anthropic.claude-sonnet-4-6", profiles: ["global", "us", "eu", "jp"]),
        Model(
            name: "claude-sonnet-4-5-20250929",
            aliases: ["claude-sonnet-4-5"],
            id: "anthropic.claude-sonnet-4-5-20250929-v1:0",
            profiles: ["global", "us", "eu", "jp", "au"]
        ),
        Model(
            name: "claude-haiku-4-5-20251001",
            aliases: ["claude-haiku-4-5"],
            id: "anthropic.claude-haiku-4-5-20251001-v1:0",
            profiles: ["global", "us", "eu", "au"]
        ),
        Model(
            name: "claude-opus-4-5-20251101",
            aliases: ["claude-opus-4-5"],
            id: "anthropic.claude-opus-4-5-20251101-v1:0",
            profiles: ["global", "us", "eu"]
        ),
        Model(
            name: "claude-opus-4-1-20250805",
            aliases: ["claude-opus-4-1"],
            id: "anthropic.claude-opus-4-1-20250805-v1:0",
            profiles: ["us"]
        ),
        Model(
            name: "claude-opus-4-20250514",
            aliases: ["claude-opus-4-0", "claude-opus-4"],
            id: "anthropic.claude-opus-4-20250514-v1:0",
            profiles: ["us"]
        ),
        Model(
            name: "claude-sonnet-4-20250514",
            aliases: ["claude-sonnet-4-0", "claude-sonnet-4"],
            id: "anthropic.claude-sonnet-4-20250514-v1:0",
            profiles: ["global", "us", "eu", "apac"]
        ),
        Model(
            name: "claude-3-7-sonnet-20250219",
            aliases: ["claude-3-7-sonnet-latest"],
            id: "anthropic.claude-3-7-sonnet-20250219-v1:0",
            profiles: ["us", "eu", "apac"]
        ),
        Model(
            name: "claude-3-5-sonnet-20241022",
            aliases: ["claude-3-5-sonnet-latest"],
            id: "anthropic.claude-3-5-sonnet-20241022-v2:0",
            profiles: ["us", "apac"]
        ),
        Model(
            name: "claude-3-5-sonnet-20240620",
            id: "anthropic.claude-3-5-sonnet-20240620-v1:0",
            profiles: ["us", "eu", "apac"]
        ),
        Model(
            name: "claude-3-5-haiku-20241022",
            aliases: ["claude-3-5-haiku-latest"],
            id: "anthropic.claude-3-5-haiku-20241022-v1:0",
            profiles: ["us"]
        ),
        Model(
            name: "claude-3-haiku-20240307",
            id: "anthropic.claude-3-haiku-20240307-v1:0",
            profiles: ["us", "eu", "apac"]
        ),
        Model(name: "claude-3-opus-20240229", id: "anthropic.claude-3-opus-20240229-v1:0", profiles: ["us"]),
    ]

    private static let byName: [String: Model] = {
        var byName: [String: Model] = [:]
        for model in models {
            for name in [model.name] + model.aliases { byName[name] = model }
        }
        return byName
    }()

    /// What models not in the table have, which are newer: the global one is there for every commercial region.
    private static let usualProfiles: Set<String> = ["global", "us", "eu"]

    /// The id under which a region serves a model.
    ///
    /// - Parameter model: after the account's mapping; a Bedrock id, a profile's id or an ARN stays as it is.
    package static func id(for model: String, region: String) -> String {
        if model.hasPrefix("arn:") || model.contains("anthropic.") || !model.hasPrefix("claude-") { return model }
        let known = byName[model]
        let id = known?.id ?? unknownID(model)
        let profiles = known?.profiles ?? usualProfiles
        if region.hasPrefix("us-gov-") { return "us-gov.\(id)" }
        for geography in geographies(of: region) where profiles.contains(geography) { return "\(geography).\(id)" }
        // No profile reaches so far; perhaps the region has the model itself.
        return id
    }

    /// Models after Opus 4.6 have their names as ids there, without a date.
    private static func unknownID(_ model: String) -> String {
        let tail = model.utf8.suffix(9)
        let isDated = tail.first == UInt8(ascii: "-") && tail.dropFirst().allSatisfy { (0x30...0x39).contains($0) }
        return "anthropic." + (isDated ? String(model.dropLast(9)) : model)
    }

    /// The profiles that calls from a region can take, the nearest first.
    private static func geographies(of region: String) -> [String] {
        switch region {
        case "ap-northeast-1", "ap-northeast-3": return ["jp", "apac", "global"]
        case "ap-southeast-2", "ap-southeast-4": return ["au", "apac", "global"]
        default: break
        }
        if region.hasPrefix("us-") { return ["us", "global"] }
        if region.hasPrefix("eu-") { return ["eu", "global"] }
        if region.hasPrefix("ap-") { return ["apac", "global"] }
        return ["global"]
    }

    package enum Operation: String {
        case invoke
        case stream = "invoke-with-response-stream"
        case countTokens = "count-tokens"
    }

    /// The path of a call; nil for an id that no model can have, which might lead elsewhere.
    package static func path(of id: String, _ operation: Operation) -> String? {
        let id = operation == .countTokens ? modelID(of: id) : id
        guard (1...2048).contains(id.utf8.count), id.utf8.contains(where: { $0 != UInt8(ascii: ".") }),
            id.utf8.allSatisfy(isAllowed)
        else { return nil }
        return "/model/\(PercentCoding.encode(id))/\(operation.rawValue)"
    }

    /// The model that a geography's profile leads to: tokens are counted for models, not for profiles.
    private static func modelID(of id: String) -> String {
        guard !id.hasPrefix("arn:"), let start = id.firstRange(of: ".anthropic.") else { return id }
        return String(id[id.index(after: start.lowerBound)...])
    }

    /// What ids and ARNs consist of (API reference, InvokeModel, `modelId`).
    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
            UInt8(ascii: ":"), UInt8(ascii: "/"):
            true
        default: false
        }
    }
}
