import Formats
import HTTPMessages

/// `GET /v1/models` and `GET /v1/models/{id}`: a list of fixed names; a look-up finds any name.
enum AnthropicModels {
    private static let catalogue: [(id: String, name: String, created: String)] = [
        ("claude-sim-opus", "Claude Sim Opus", "2026-08-01T00:00:00Z"),
        ("claude-sim-sonnet", "Claude Sim Sonnet", "2026-06-01T00:00:00Z"),
        ("claude-sim-haiku", "Claude Sim Haiku", "2026-04-01T00:00:00Z"),
        ("claude-opus-4-5", "Claude Opus 4.5", "2025-11-24T00:00:00Z"),
        ("claude-haiku-4-5", "Claude Haiku 4.5", "2025-10-15T00:00:00Z"),
        ("claude-sonnet-4-5", "Claude Sonnet 4.5", "2025-09-29T00:00:00Z"),
    ]

    /// The page that `limit`, `after_id` and `before_id` ask for.
    static func page(_ head: HTTPRequestHead) throws(Refusal) -> [UInt8] {
        let limit = head.queryValue("limit").map { Int($0) ?? 0 } ?? 20
        guard (1...1000).contains(limit) else { throw Refusal("limit: Input should be from 1 to 1000") }
        var models = catalogue[...]
        if let after = head.queryValue("after_id"), let index = models.firstIndex(where: { $0.id == after }) {
            models = models[(index + 1)...]
        }
        var hasMore = models.count > limit
        if let before = head.queryValue("before_id"), let index = models.firstIndex(where: { $0.id == before }) {
            models = models[..<index]
            hasMore = models.count > limit
            models = models.suffix(limit)
        } else {
            models = models.prefix(limit)
        }
        return JSONWriter.object { text in
            text.arrayMember("data") {
                for model in models { write(model, to: &$0) }
            }
            text.member("has_more", hasMore)
            text.member("first_id", models.first?.id)
            text.member("last_id", models.last?.id)
        }
    }

    static func model(_ id: String) -> [UInt8] {
        var text = JSONWriter()
        write(catalogue.first { $0.id == id } ?? (id, id, "2026-01-01T00:00:00Z"), to: &text)
        return text.bytes
    }

    private static func write(_ model: (id: String, name: String, created: String), to text: inout JSONWriter) {
        text.object {
            $0.member("type", "model")
            $0.member("id", model.id)
            $0.member("display_name", model.name)
            $0.member("created_at", model.created)
            $0.member("lifecycle", "active")
            $0.null("deprecated_at")
            $0.null("retires_at")
            $0.null("line")
            $0.null("capabilities")
            $0.member("max_input_tokens", 200_000)
            $0.member("max_tokens", 64_000)
        }
    }
}
