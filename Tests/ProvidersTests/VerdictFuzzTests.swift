import Domain
import Formats
import HTTPMessages
import TestSupport
import Testing

@testable import Providers

@Suite("Verdicts of anything at all")
struct VerdictFuzzTests {
    private static let tables = ["Anthropic", "OpenAI", "Gemini", "Antigravity", "Bedrock"].map {
        VerdictCase.table(of: $0)
    }

    private let parser = JSONParser()

    /// Asks the platforms, and checks what must hold of any verdict.
    private func check(
        _ status: Int,
        _ headers: HeaderFields,
        _ body: [UInt8],
        _ tables: [VerdictTable] = Self.tables
    ) {
        let answer = UpstreamAnswer(status: status, headers: headers, body: body, parser)
        let last = Timestamp(microseconds: VerdictFixture.now.microseconds + 8 * 86_400_000_000)
        for table in tables {
            for carriedCredits in [false, true] {
                let context = VerdictContext(
                    now: VerdictFixture.now,
                    accountType: carriedCredits ? .oauth : .apikey,
                    model: "claude-opus-4-5",
                    carriedCredits: carriedCredits
                )
                let verdict = table.verdict(.refused(answer), context)
                #expect(verdict.request != .deliver)
                #expect(verdict.ignored.count <= 16)
                for effect in verdict.effects {
                    switch effect {
                    case .error(let error):
                        #expect(error.message.unicodeScalars.count <= 512)
                        #expect(!error.message.utf8.contains(0))
                    case .rateLimited(let end, _), .overloaded(let end), .modelLimited(_, let end),
                        .paused(let end, _, _):
                        #expect(end > VerdictFixture.now && end <= last)
                    case .invalidateToken, .countUnauthorized, .countForbidden: break
                    }
                    let fields = Dictionary(effect.fields.map { ($0.name, $0.value) }) { first, _ in first }
                    #expect(AccountEffect(fields: fields) == effect)
                }
                _ = table.windows(headers, now: VerdictFixture.now)
                _ = table.success(headers, context)
            }
        }
    }

    @Test("no body of any fixture traps, wherever it ends", arguments: VerdictFixture.names)
    func truncations(name: String) {
        let (status, headers, body) = VerdictFixture.parts(name)
        let table = VerdictCase(fixture: name, type: .oauth).table
        for count in 0...body.count { check(status, headers, Array(body.prefix(count)), [table]) }
    }

    @Test("no changed body or header traps", arguments: VerdictFixture.names)
    func mutations(name: String) {
        var random = SeededGenerator(seed: UInt64(name.utf8.count))
        let (status, headers, body) = VerdictFixture.parts(name)
        for _ in 0..<20 {
            var changed = HeaderFields()
            for (field, value) in headers.strings {
                let bytes = random.mutated(Array(value.utf8), alphabet: Array("0123456789-.eEhms:TZ \u{1}".utf8))
                changed.add(field, String(decoding: bytes, as: UTF8.self))
            }
            let status = random.below(4) == 0 ? 300 + random.below(300) : status
            check(status, changed, random.mutated(body))
        }
    }

    @Test("random bytes are only ever a status", arguments: [400, 401, 402, 403, 404, 429, 500, 529])
    func noise(status: Int) {
        var random = SeededGenerator(seed: UInt64(status))
        for length in [0, 1, 7, 300, 70_000] { check(status, [:], random.bytes(length)) }
        check(status, [:], Array(String(repeating: "[", count: 60_000).utf8))
        check(status, [:], Array(("{\"error\":" + String(repeating: "{\"error\":", count: 400)).utf8))
        check(
            status,
            [:],
            Array(#"{"error":{"message":"\#(String(repeating: "credit verify appeal ", count: 3000))"}}"#.utf8)
        )
    }
}
