import Domain
import Glibc

/// A file in `Fixtures/`: made by hand from the examples in the providers' documentation, with texts of our own.
enum Fixture {
    static let streams: [(dialect: Dialect, name: String)] =
        names(in: "Anthropic", ending: ".sse").map { (.anthropic, $0) }
        + names(in: "Chat", ending: ".sse").map { (.openaiChat, $0) }
        + names(in: "Responses", ending: ".sse").map { (.openaiResponses, $0) }
        + names(in: "Gemini", ending: ".sse").map { (.gemini, $0) }

    static func bytes(_ dialect: Dialect, _ name: String) -> [UInt8] { read("\(folder(dialect))/\(name)") }

    /// Compares with `Fixtures/Golden/`; with `RECORD_FIXTURES=1` in the environment it writes there instead.
    static func matchesGolden(_ bytes: [UInt8], _ name: String) -> Bool {
        guard getenv("RECORD_FIXTURES") != nil else { return read("Golden/\(name)") == bytes }
        guard let file = fopen("\(root)/Golden/\(name)", "w") else { return false }
        defer { fclose(file) }
        return bytes.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) } == bytes.count
    }

    private static func folder(_ dialect: Dialect) -> String {
        switch dialect {
        case .anthropic: "Anthropic"
        case .openaiChat: "Chat"
        case .openaiResponses: "Responses"
        case .gemini: "Gemini"
        }
    }

    private static var root: String {
        "/" + #filePath.split(separator: "/").dropLast().joined(separator: "/") + "/Fixtures"
    }

    private static func read(_ path: String) -> [UInt8] {
        guard let file = fopen("\(root)/\(path)", "r") else { fatalError("no fixture \(path)") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        return bytes
    }

    private static func names(in folder: String, ending: String) -> [String] {
        guard let directory = opendir("\(root)/\(folder)") else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            if name.hasSuffix(ending) { names.append(name) }
        }
        return names.sorted()
    }
}
