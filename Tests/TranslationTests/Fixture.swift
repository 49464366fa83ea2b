import Domain
import Glibc
import TestSupport

/// A file in `Fixtures/`: made by hand from the examples in the providers' documentation, with texts of our own.
enum Fixture {
    static let streams: [(dialect: Dialect, name: String)] =
        files.names(in: "Anthropic", ending: ".sse").map { (.anthropic, $0) }
        + files.names(in: "Chat", ending: ".sse").map { (.openaiChat, $0) }
        + files.names(in: "Responses", ending: ".sse").map { (.openaiResponses, $0) }
        + files.names(in: "Gemini", ending: ".sse").map { (.gemini, $0) }

    private static let files = FixtureFolder()

    static func bytes(_ dialect: Dialect, _ name: String) -> [UInt8] { files.read("\(folder(dialect))/\(name)") }

    /// Compares with `Fixtures/Golden/`; with `RECORD_FIXTURES=1` in the environment it writes there instead.
    static func matchesGolden(_ bytes: [UInt8], _ name: String) -> Bool {
        let path = "Golden/\(name)"
        return getenv("RECORD_FIXTURES") == nil ? files.read(path) == bytes : files.write(bytes, to: path)
    }

    private static func folder(_ dialect: Dialect) -> String {
        switch dialect {
        case .anthropic: "Anthropic"
        case .openaiChat: "Chat"
        case .openaiResponses: "Responses"
        case .gemini: "Gemini"
        }
    }
}
