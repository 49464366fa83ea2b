import Glibc

/// The folder `Fixtures` beside a test's own source.
package struct FixtureFolder: Sendable {
    private let root: String

    package init(besides source: String = #filePath) {
        root = "/" + source.split(separator: "/").dropLast().joined(separator: "/") + "/Fixtures"
    }

    package func read(_ path: String) -> [UInt8] {
        guard let file = fopen("\(root)/\(path)", "r") else { fatalError("no fixture \(path)") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        return bytes
    }

    package func write(_ bytes: [UInt8], to path: String) -> Bool {
        guard let file = fopen("\(root)/\(path)", "w") else { return false }
        defer { fclose(file) }
        return bytes.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) } == bytes.count
    }

    /// The names of its files with that ending, in order.
    package func names(in folder: String, ending: String) -> [String] {
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
