import Glibc
package import Reactor

/// A fault in the configuration: which key, and what was expected of it. Never the value: it may be a secret.
package struct ConfigFault: Error, Equatable, CustomStringConvertible {
    package let key: String
    package let expected: String

    package init(key: String, expected: String) {
        self.key = key
        self.expected = expected
    }

    package var description: String { "\(key): \(expected)" }
}

/// Reads settings from environment variables and gathers every fault, so that all are reported at once.
///
/// A secret may stand in a file: `KEY_FILE` names it.
package struct ConfigReader {
    private let environment: [String: String]
    package private(set) var faults: [ConfigFault] = []

    package init(environment: [String: String]) { self.environment = environment }

    /// The process's own environment.
    package static func processEnvironment() -> [String: String] {
        var found: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let parts = String(cString: entry).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { found[String(parts[0])] = String(parts[1]) }
            next += 1
        }
        return found
    }

    package mutating func fault(_ key: String, _ expected: String) {
        faults.append(ConfigFault(key: key, expected: expected))
    }

    /// An optional text; empty counts as absent.
    package func optional(_ key: String) -> String? {
        environment[key].flatMap { $0.isEmpty ? nil : $0 }
    }

    package func text(_ key: String, default fallback: String) -> String { optional(key) ?? fallback }

    package mutating func required(_ key: String, _ expected: String) -> String {
        if let value = optional(key) { return value }
        fault(key, "is required: \(expected)")
        return ""
    }

    /// A secret from `KEY`, or from the file that `KEY_FILE` names, without the newline at its end.
    package mutating func optionalSecret(_ key: String) -> String? {
        if let value = optional(key) { return value }
        guard let path = optional(key + "_FILE") else { return nil }
        guard let text = Self.readFile(path) else {
            fault(key + "_FILE", "names a file that cannot be read")
            return nil
        }
        return text.isEmpty ? nil : text
    }

    package mutating func secret(_ key: String, _ expected: String) -> String {
        let before = faults.count
        if let value = optionalSecret(key) { return value }
        if faults.count == before { fault(key, "is required, here or in the file that \(key)_FILE names: \(expected)") }
        return ""
    }

    package mutating func integer(_ key: String, default fallback: Int, in range: ClosedRange<Int>) -> Int {
        guard let text = optional(key) else { return fallback }
        guard let value = Int(text), range.contains(value) else {
            fault(key, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
            return fallback
        }
        return value
    }

    package mutating func bool(_ key: String, default fallback: Bool) -> Bool {
        switch optional(key)?.lowercased() {
        case nil: return fallback
        case "1", "true", "yes", "on": return true
        case "0", "false", "no", "off": return false
        default:
            fault(key, "must be true or false")
            return fallback
        }
    }

    /// A numeric address with a port, `127.0.0.1:8080` or `[::]:8080`.
    package mutating func address(_ key: String, default fallback: String) -> SocketAddress? {
        let found = SocketAddress(text(key, default: fallback))
        if found == nil { fault(key, "must be an IP address and a port, such as 127.0.0.1:8080 or [::]:8080") }
        return found
    }

    private static func readFile(_ path: String) -> String? {
        guard let file = fopen(path, "rb") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 64 * 1024)
        let count = fread(&bytes, 1, bytes.count, file)
        guard ferror(file) == 0 else { return nil }
        var text = bytes.prefix(count)
        while let last = text.last, last == 0x0a || last == 0x0d { text = text.dropLast() }
        return String(decoding: text, as: UTF8.self)
    }
}

extension ConfigReader {
    /// Prints every fault and ends the process with `EX_CONFIG`; returns when there is none.
    package func exitOnFaults() {
        guard !faults.isEmpty else { return }
        let report = faults.map { "configuration: \($0)\n" }.joined()
        _ = report.withCString { write(STDERR_FILENO, $0, strlen($0)) }
        exit(78)
    }
}
