import HTTPMessages

/// A version of the API, as the header `anthropic-version` names it.
package enum AnthropicVersion: String, Sendable {
    case v20230101 = "2023-01-01"
    case v20230601 = "2023-06-01"
    /// Refuses sampling parameters, `document` blocks of the assistant, and citations on the user's texts.
    case v20261021 = "2026-10-21"

    /// - Throws: what the API says about a header that is missing or wrong. Two of them are one with a comma.
    init(_ headers: HeaderFields) throws(Refusal) {
        let values = headers.values("anthropic-version")
        guard !values.isEmpty else { throw Refusal("anthropic-version: header is required") }
        let value = values.joined(separator: ", ")
        guard let version = AnthropicVersion(rawValue: value) else {
            throw Refusal("anthropic-version: \"\(value)\" is not a valid version")
        }
        self = version
    }
}
