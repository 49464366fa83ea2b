import Domain
import Formats

/// The usage log as a CSV file (RFC 4180): the columns of the usage log, in its order.
struct UsageFile {
    private let view: View<UsageEntry>
    private let forAdmin: Bool
    private(set) var bytes: [UInt8] = []
    private(set) var rows = 0

    init(forAdmin: Bool) {
        self.forAdmin = forAdmin
        view = UsageView.view(forAdmin: forAdmin)
        append((view.names + (forAdmin ? ["upstream_model"] : [])).map { .string($0) })
    }

    mutating func add(_ entry: UsageEntry) {
        rows += 1
        append(
            view.fields.map { $0.value(entry) }
                + (forAdmin
                    ? [.string(entry.record.upstreamModel == entry.record.model ? "" : entry.record.upstreamModel)]
                    : [])
        )
    }

    private mutating func append(_ values: [JSON]) {
        for (index, value) in values.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            switch value {
            case .null: break
            case .string(let text): append(text)
            default: bytes.append(contentsOf: value.encoded)
            }
        }
        bytes.append(contentsOf: [0x0d, 0x0a])
    }

    /// Callers choose models and user agents: what a spreadsheet would take for a formula is marked as text.
    private mutating func append(_ text: String) {
        let isFormula = text.utf8.first.map { "=+-@\t\r".utf8.contains($0) } ?? false
        guard isFormula || text.utf8.contains(where: { ",\"\r\n".utf8.contains($0) }) else {
            return bytes.append(contentsOf: text.utf8)
        }
        bytes.append(UInt8(ascii: "\""))
        if isFormula { bytes.append(UInt8(ascii: "'")) }
        for byte in text.utf8 {
            if byte == UInt8(ascii: "\"") { bytes.append(byte) }
            bytes.append(byte)
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
