import Domain
import Formats
import HTTPMessages
import TestSupport
import Testing

@testable import Providers

/// An upstream's answer in `Fixtures/`: a status, header lines, an empty line, the body. Made by hand after what providers
/// document and users report.
enum VerdictFixture {
    /// The time that the fixtures' resets are counted from: 2027-01-15T08:00:00Z.
    static let now = Timestamp(microseconds: 1_800_000_000_000_000)

    static func answer(_ name: String) -> UpstreamAnswer {
        let (status, headers, body) = parts(name)
        return UpstreamAnswer(status: status, headers: headers, body: body)
    }

    static func parts(_ name: String) -> (status: Int, headers: HeaderFields, body: [UInt8]) {
        let text = files.read(name + ".http")
        guard let end = text.firstRange(of: Array("\n\n".utf8)) else { fatalError("\(name) has no empty line") }
        var lines = String(decoding: text[..<end.lowerBound], as: UTF8.self).split(separator: "\n")
        let status = Int(lines.removeFirst()) ?? 0
        var headers = HeaderFields()
        for line in lines {
            let parts = line.split(separator: ":", maxSplits: 1)
            headers.add(String(parts[0]), parts.count == 2 ? String(parts[1].drop { $0 == " " }) : "")
        }
        return (status, headers, Array(text[end.upperBound...]))
    }

    static let names: [String] = ["Anthropic", "Antigravity", "Bedrock", "Gemini", "OpenAI"].flatMap { platform in
        files.names(in: platform, ending: ".http").map { "\(platform)/\($0.dropLast(5))" }
    }
    private static let files = FixtureFolder()
}

/// An account that a verdict is asked for.
struct VerdictCase: CustomTestStringConvertible, Sendable {
    var fixture: String
    var type: AccountType
    var testDescription: String { "\(fixture), \(type.rawValue)" }

    static func table(of platform: String) -> VerdictTable {
        switch platform {
        case "Anthropic": VerdictTable(AnthropicVerdicts())
        case "OpenAI": VerdictTable(OpenAIVerdicts())
        case "Gemini": VerdictTable(GoogleVerdicts())
        case "Antigravity": VerdictTable(AntigravityVerdicts())
        case "Bedrock": VerdictTable(BedrockVerdicts())
        default: fatalError("no platform \(platform)")
        }
    }

    var table: VerdictTable { Self.table(of: String(fixture.prefix { $0 != "/" })) }

    func verdict(_ change: (inout VerdictContext) -> Void = { _ in }) -> UpstreamVerdict {
        var context = VerdictContext(now: VerdictFixture.now, accountType: type, model: "claude-opus-4-5")
        context.credential = CredentialUse(version: 7)
        change(&context)
        return table.verdict(.refused(VerdictFixture.answer(fixture)), context)
    }
}

extension Timestamp {
    static func after(_ seconds: Double) -> Timestamp {
        Timestamp(microseconds: VerdictFixture.now.microseconds + Int64((seconds * 1_000_000).rounded()))
    }
}
