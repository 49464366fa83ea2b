import Formats
import HTTPMessages

/// Bedrock's error answers: a message, and the kind of the error in a header field.
struct BedrockErrors: PlatformErrors {
    private static let denied =
        "User: arn:aws:iam::123456789012:user/sim is not authorized to perform: bedrock:InvokeModel"
    let requestID: String

    var overloadedStatus: Int { 503 }

    static func body(_ message: String) -> [UInt8] { JSONWriter.object { $0.member("message", message) } }

    func plan(_ status: Int, _ type: String, _ message: String) -> AnswerPlan {
        var fields = BedrockAnswer.fields(contentType: "application/json", requestID: requestID)
        fields.add("x-amzn-errortype", "\(type):http://internal.amazon.com/coral/com.amazon.bedrock/")
        return AnswerPlan(status, fields, body: Self.body(message))
    }

    func refusal(_ refusal: Refusal) -> AnswerPlan { plan(refusal.status, "ValidationException", refusal.message) }

    /// A request that nobody signed, or with a key that is not good.
    func unauthorized(_ credential: Credential?) -> AnswerPlan {
        switch credential?.kind {
        case nil: plan(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        case .accessKey?: fault(403, variant: "token", amount: nil, model: nil)
        case _?: fault(403, variant: "key", amount: nil, model: nil)
        }
    }

    func badSignature(_ fault: BedrockSignature.Fault) -> AnswerPlan {
        switch fault {
        case .mismatch: self.fault(403, variant: "signature", amount: nil, model: nil)
        case .expired:
            plan(403, "InvalidSignatureException", "Signature expired: it is not within 5 minutes of the server's time")
        case .unsignedHost:
            plan(
                403,
                "InvalidSignatureException",
                "'Host' or 'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization."
            )
        case .wrongScope:
            plan(403, "InvalidSignatureException", "Credential should be scoped to correct service: 'bedrock'.")
        }
    }

    // MARK: Faults

    /// Variants: `400model`, `400ondemand`, `400quota`, `403signature`, `403token`, `403expired`, `403key`, `403model`,
    /// `403html`, `429tokens`, and `429retryN` and those of `AbsurdReset`, the only ones that say when.
    func fault(_ status: Int, variant: String, amount: Int?, model: String?) -> AnswerPlan {
        switch (status, variant) {
        case (400, "model"): return plan(400, "ValidationException", "The provided model identifier is invalid.")
        case (400, "ondemand"):
            return plan(
                400,
                "ValidationException",
                "Invocation of model ID \(model ?? "") with on-demand throughput isn’t supported. Retry your request"
                    + " with the ID or ARN of an inference profile that contains this model."
            )
        case (400, "quota"):
            return plan(
                400,
                "ServiceQuotaExceededException",
                "Your request exceeds the service quota for your account."
            )
        case (400, "disabled"): return plan(400, "ValidationException", "This organization has been disabled.")
        case (400, "credit"): return plan(400, "ValidationException", "Your credit balance is too low.")
        case (400, _): return plan(400, "ValidationException", "Input is too long for requested model.")
        case (401, _): return plan(401, "UnauthorizedException", "The request is not authorized.")
        case (402, _): return plan(402, "PaymentRequiredException", "A valid payment instrument must be provided.")
        case (403, "signature"):
            return plan(
                403,
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret"
                    + " Access Key and signing method. Consult the service documentation for details."
            )
        case (403, "token"):
            return plan(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        case (403, "expired"):
            return plan(403, "ExpiredTokenException", "The security token included in the request is expired")
        case (403, "key"):
            return plan(
                403,
                "AccessDeniedException",
                "Authentication failed: Please make sure your API Key is valid."
            )
        case (403, "html"), (502, _): return page(status, server: "awselb/2.0")
        case (403, "model"):
            return plan(
                403,
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID."
            )
        case (403, "policy"):
            return plan(
                403,
                "AccessDeniedException",
                Self.denied + " on resource: arn:aws:bedrock:us-east-1::foundation-model/\(model ?? "")"
            )
        case (403, _): return plan(403, "AccessDeniedException", Self.denied)
        case (404, _):
            return plan(
                404,
                "ResourceNotFoundException",
                "Could not resolve the foundation model from the model identifier."
            )
        case (408, _): return plan(408, "ModelTimeoutException", "The model timed out.")
        case (413, _): return plan(413, "RequestEntityTooLargeException", "Request body is too large.")
        case (424, _):
            return plan(424, "ModelErrorException", "The system encountered an unexpected error during processing.")
        case (429, "tokens"):
            return plan(429, "ThrottlingException", "Too many tokens per day, please wait before trying again.")
        case (429, _):
            var answer = plan(429, "ThrottlingException", Self.tooMany)
            let reset = variant == "retry" ? "\(amount ?? 60)" : AbsurdReset.text(variant)
            if let reset { answer.head?.headers.add("retry-after", reset) }
            return answer
        case (500, _):
            return plan(500, "InternalServerException", "The system encountered an unexpected error. Try again.")
        case (503, _):
            return plan(503, "ServiceUnavailableException", "Bedrock is unable to process your request.")
        default: return plan(status, "SimulatedException", "Simulated error \(status)")
        }
    }

    private static let tooMany = "Too many requests, please wait before trying again."
}
