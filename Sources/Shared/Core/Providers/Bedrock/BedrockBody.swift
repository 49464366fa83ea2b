import Domain
package import Formats

/// Bodies of the Messages API as Bedrock wants them: model and stream are in the path, version and betas in the body.
package enum BedrockBody {
    package static let version = "bedrock-2023-05-31"

    /// The beta features that a body asks for itself; they are subject to the same policy as those of the header.
    ///
    /// - Throws: `GatewayError.invalidRequest` when `anthropic_beta` is no array of strings.
    package static func betas(in body: [UInt8], _ parser: JSONParser) throws -> [String] {
        try read(body, parser) { document in
            guard let value = try member("anthropic_beta", of: document), !value.isNull else { return [] }
            guard value.isArray else { throw invalid("anthropic_beta", "must be an array of strings") }
            return try value.elements.map {
                guard let token = $0.string else { throw invalid("anthropic_beta", "must be an array of strings") }
                return token
            }
        }
    }

    /// `body` without `model` and `stream`, with `anthropic_version`, and with exactly these betas. Every other byte
    /// stays.
    ///
    /// - Throws: `GatewayError.invalidRequest` for a body that is no object or has one of these members twice.
    package static func converted(_ body: [UInt8], betas: [String], _ parser: JSONParser) throws -> [UInt8] {
        try converted(body, betas: betas, parser) { _ in nil }
    }

    /// `{"input":{"invokeModel":{"body":"…"}}}`, what `converted` makes in base64 (API reference, `CountTokens`).
    ///
    /// The body is checked as one to be invoked, which must have `max_tokens`, and more of them than it may think with.
    ///
    /// - Throws: as `converted`.
    package static func counting(_ body: [UInt8], betas: [String], _ parser: JSONParser) throws -> [UInt8] {
        let invoked = try converted(body, betas: betas, parser) { root in
            guard root["max_tokens"] == nil else { return nil }
            return min(max(root["thinking"]?["budget_tokens"]?.int64 ?? 0, 0), longestThought) + 1
        }
        let opening = Array(#"{"input":{"invokeModel":{"body":""#.utf8)
        return opening + Base64.encodedBytes(invoked) + Array(#""}}}"#.utf8)
    }

    private static let longestThought: Int64 = 1_000_000

    private static func converted(
        _ body: [UInt8],
        betas: [String],
        _ parser: JSONParser,
        maxTokens: (JSONValue) -> Int64?
    ) throws -> [UInt8] {
        try read(body, parser) { document in
            let root = document.root
            let object = document.location(of: root).value
            var removed: [Range<Int>] = []
            for key in ["model", "stream", "anthropic_version", "anthropic_beta"] as [StaticString] {
                if let value = try member(key, of: document) { removed.append(document.location(of: value).member) }
            }
            removed.sort { $0.lowerBound < $1.lowerBound }

            var added = JSONWriter(capacity: 64 + betas.count * 32)
            added.object {
                $0.member("anthropic_version", version)
                if let maxTokens = maxTokens(root) { $0.member("max_tokens", maxTokens) }
                guard !betas.isEmpty else { return }
                $0.key("anthropic_beta")
                $0.array { for beta in betas { $0.string(beta) } }
            }
            var out: [UInt8] = []
            out.reserveCapacity(body.count + added.bytes.count)
            out.append(contentsOf: added.bytes.dropLast())
            // What is added stands first, so every member of the caller's has a comma before it: its own but for the
            // first, and a member is removed together with that comma.
            var at = object.lowerBound + 1
            let first = body[at...].firstIndex { !isWhiteSpace($0) } ?? at
            if root.count > 0, removed.first?.lowerBound != first { out.append(UInt8(ascii: ",")) }
            for range in removed {
                let isFirst = range.lowerBound == first
                let comma = isFirst ? first : body[at..<range.lowerBound].lastIndex(of: UInt8(ascii: ",")) ?? at
                out.append(contentsOf: body[at..<comma])
                at = range.upperBound
            }
            out.append(contentsOf: body[at..<object.upperBound])
            return out
        }
    }

    /// A member that stands at most once.
    private static func member(_ key: StaticString, of document: JSONDocument) throws -> JSONValue? {
        if case .duplicate = document.locateTopLevel(key) { throw invalid("\(key)", "stands more than once") }
        return document.root[key]
    }

    private static func read<Result>(
        _ body: [UInt8],
        _ parser: JSONParser,
        _ read: (JSONDocument) throws -> Result
    ) throws -> Result {
        do {
            return try parser.parse(body) { document in
                guard document.root.isObject else {
                    throw GatewayError(.invalidRequest, "The request body must be a JSON object.")
                }
                return try read(document)
            }
        } catch let error as JSONError {
            throw GatewayError(.invalidRequest, "The request body is not valid JSON.", detail: "\(error)")
        }
    }

    private static func isWhiteSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }

    private static func invalid(_ field: String, _ message: String) -> GatewayError {
        GatewayError(.invalidRequest, "\(field): \(message)", field: field)
    }
}
