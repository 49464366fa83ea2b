import HTTPMessages
import HTTPServing
import Snapshots

/// The header fields that tell a caller where its key stands in its minute, under the names that OpenAI's have.
enum RateFields {
    static func add(_ minute: MinuteFigures, _ key: KeySnapshot, to exchange: ServerExchange) {
        var fields = exchange.furtherFields ?? HeaderFields()
        let reset = "\((minute.milliseconds + 999) / 1000)s"
        func add(_ kind: String, _ limit: Int, _ used: Int64) {
            guard limit > 0 else { return }
            fields.add("x-ratelimit-limit-\(kind)", String(limit))
            fields.add("x-ratelimit-remaining-\(kind)", String(max(0, Int64(limit) - used)))
            fields.add("x-ratelimit-reset-\(kind)", reset)
        }
        add("requests", key.rpm, minute.requests)
        add("tokens", key.tpm, minute.tokens)
        exchange.furtherFields = fields
    }
}
