import HTTPMessages
import HTTPServing
import Snapshots

/// The header fields that tell a caller where its key stands in its minute, under the names that OpenAI's have.
enum RateFields {
    private struct Names {
        let limit: String
        let remaining: String
        let reset: String

        init(_ kind: String) {
            limit = "x-ratelimit-limit-\(kind)"
            remaining = "x-ratelimit-remaining-\(kind)"
            reset = "x-ratelimit-reset-\(kind)"
        }

        var all: [String] { [limit, remaining, reset] }
    }

    private static let requests = Names("requests")
    private static let tokens = Names("tokens")
    static let names = requests.all + tokens.all

    /// - Parameter minute: after this call, if that was let in.
    static func add(_ minute: MinuteFigures, _ key: KeySnapshot, to exchange: ServerExchange) {
        var fields = exchange.furtherFields ?? HeaderFields()
        let reset = "\((minute.milliseconds &+ 999) / 1000)s"
        func add(_ names: Names, _ limit: Int, _ used: Int64) {
            guard limit > 0 else { return }
            fields.add(names.limit, String(limit))
            fields.add(names.remaining, String(max(0, Int64(limit) &- used)))
            fields.add(names.reset, reset)
        }
        add(requests, key.rpm, minute.requests)
        add(tokens, key.tpm, minute.tokens)
        exchange.furtherFields = fields
    }
}
