package import Formats

/// Gives answers the model name that the caller used.
package enum AnthropicModelName {
    /// A `message_start` event with `message.model` replaced; nil when the event has no such value, and then it stays.
    package static func renaming(_ event: SSEEvent, to model: String, _ parser: JSONParser) -> [UInt8]? {
        guard event.hasData, event.data.count <= 1 << 20 else { return nil }
        let data = Array(event.data)
        let range: Range<Int>?? = try? parser.parse(data) { $0.locate(path: ["message", "model"]).value }
        guard let range = range ?? nil else { return nil }
        var out: [UInt8] = []
        SSEWriter.append(event: "message_start", data: Splice.replacing(range, in: data, with: model), to: &out)
        return out
    }
}
