package import Formats

/// An error body of the Anthropic API: `{"type":"error","error":{"type","message"}}`.
package struct AnthropicErrorBody: Sendable {
    package let type: String
    package let message: String

    /// Nil when the body has no such shape: a proxy's page, for example.
    package init?(_ body: [UInt8], _ parser: JSONParser) {
        let found: (String, String)?? = try? parser.parse(body) { document in
            guard let error = document.root["error"], let type = error["type"]?.string else { return nil }
            return (type, error["message"]?.string ?? "")
        }
        guard let (type, message) = found ?? nil else { return nil }
        self.type = type
        self.message = message
    }
}
