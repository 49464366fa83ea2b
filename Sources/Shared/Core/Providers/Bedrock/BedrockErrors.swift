package import Formats

/// Errors of Bedrock: bodies `{"message"}` with the kind in `x-amzn-errortype`, and exceptions within a stream.
package struct BedrockError: Error, Hashable, Sendable {
    /// AWS' name: `ThrottlingException`. Empty where it does not say.
    package var type: String
    package var message: String

    package init(type: String, message: String) {
        // Streams write names with a small letter, bodies may write them behind a name space and before a URL.
        var name = type.prefix { $0 != ":" }
        if let hash = name.lastIndex(of: "#") { name = name[name.index(after: hash)...] }
        self.type = name.prefix(1).uppercased() + name.dropFirst()
        self.message = message
    }

    /// Reads an error body; nil when it is none of AWS' own.
    ///
    /// - Parameter errorType: the header `x-amzn-errortype`.
    package init?(_ body: [UInt8], errorType: String? = nil, _ parser: JSONParser) {
        let found: BedrockError?? = try? parser.parse(body) { document in
            let root = document.root
            let type = errorType ?? root["__type"]?.string ?? root["code"]?.string
            let message = (root["message"] ?? root["Message"])?.string
            guard root.isObject, type != nil || message != nil else { return nil }
            return BedrockError(type: type ?? "", message: message ?? "")
        }
        guard let error = found ?? nil else { return nil }
        self = error
    }

    /// The status that goes with the kind (API reference, InvokeModel).
    package var status: Int {
        switch type {
        case "ValidationException", "ServiceQuotaExceededException": 400
        case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException",
            "ExpiredTokenException", "IncompleteSignatureException", "MissingAuthenticationTokenException":
            403
        case "ResourceNotFoundException": 404
        case "ModelTimeoutException": 408
        case "ModelErrorException", "ModelStreamErrorException": 424
        case "ThrottlingException", "ModelNotReadyException": 429
        case "ServiceUnavailableException": 503
        default: 500
        }
    }

    /// Whether the region or the account lacks the model: AWS says so with 400 and 403 as well as with 404.
    package var saysModelIsMissing: Bool {
        if type == "ResourceNotFoundException" { return true }
        guard type.isEmpty || type == "ValidationException" || type == "AccessDeniedException" else { return false }
        let text = message.lowercased()
        return Words.contains(text, anyOf: AccountWords.missingModel)
            || (type == "AccessDeniedException" && Words.contains(text, "is not authorized to perform")
                && Words.contains(text, anyOf: AccountWords.deniedModel))
    }

    /// Anthropic's name for the kind.
    package var anthropicType: String {
        switch type {
        case "ValidationException": "invalid_request_error"
        case "ResourceNotFoundException": "not_found_error"
        case "ModelTimeoutException": "timeout_error"
        case "ThrottlingException", "ModelNotReadyException", "ServiceQuotaExceededException": "rate_limit_error"
        case "ServiceUnavailableException": "overloaded_error"
        // The credential is ours, not the caller's.
        default: "api_error"
        }
    }

    /// The text as callers may see it: AWS puts account numbers and names of roles into many of them.
    package var callerMessage: String {
        if message.isEmpty || status == 403 || message.firstRange(of: "arn:") != nil || hasAccountNumber {
            return "The model's provider refused the call or could not finish it."
        }
        return String(message.prefix(2000))
    }

    private var hasAccountNumber: Bool {
        var digits = 0
        for byte in message.utf8 {
            digits = (0x30...0x39).contains(byte) ? digits + 1 : 0
            if digits == 12 { return true }
        }
        return false
    }

    /// `{"type":"error","error":{"type","message"}}`
    package var anthropicBody: [UInt8] {
        var json = JSONWriter(capacity: 128 + message.utf8.count)
        json.object {
            $0.member("type", "error")
            $0.key("error")
            $0.object {
                $0.member("type", anthropicType)
                $0.member("message", callerMessage)
            }
        }
        return json.bytes
    }
}
