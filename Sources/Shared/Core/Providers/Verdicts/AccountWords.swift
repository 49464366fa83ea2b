package import Domain

/// Words in the text of a refusal that tell that it is about the account, where its status does not: a 400 is the caller's
/// fault otherwise.
///
/// Upstreams quote what they refuse: names of members, values of headers. So a caller could say these words through them,
/// and have accounts taken out that nothing is wrong with. `under` gives the words to look for in the caller's own request.
package enum AccountWords {
    static let organizationDisabled = "organization has been disabled"
    static let creditBalance = "credit balance"
    static let spendLimit = "you have reached your specified"
    static let invalidProject = "invalid project resource name"
    static let invalidKey = ["api key not valid", "api key expired", "api_key_invalid"]
    static let foreignFile = "you do not have permission to access the file"
    static let foreignContent = "cachedcontent not found"
    static let missingModel = [
        "model identifier is invalid", "on-demand throughput isn",
        "access to the model with the specified model id",
        "end of its life", "don't have access to the model", "is not available for this account",
        "model access is denied due to",
    ]
    /// Where policies of AWS keep an account from one model or one way to it.
    static let deniedModel = ["foundation-model/", "inference-profile/"]

    /// The words on which a verdict on a refusal rests, in lower case; none where its status says enough.
    package static func under(_ verdict: UpstreamVerdict, status: Int) -> [String] {
        switch verdict.reason {
        case .organizationDisabled: [organizationDisabled]
        case .paymentRequired where status == 400: [creditBalance]
        case .insufficientQuota where status == 400: [spendLimit]
        case .invalidProject: [invalidProject]
        case .credentialRejected where status == 400: invalidKey
        case .modelNotFound where status == 400: missingModel
        default: []
        }
    }

    /// Whether a text has one of these words, in any case.
    ///
    /// - Parameter json: a request as it came: its escapes are read.
    package static func isSaid(_ words: [String], in json: [UInt8]) -> Bool {
        let text = Array(JSONEscapes.decoded(String(decoding: json, as: UTF8.self)).lowercased().utf8)
        return words.contains { Words.contains(text, $0) }
    }
}

extension UpstreamVerdict {
    /// The same where the caller itself has said the words that the verdict rests on: perhaps it is the account all the
    /// same, so another one is asked, but nothing is marked.
    package var quoted: UpstreamVerdict {
        var verdict = withoutMarks
        verdict.request = .failover
        return verdict
    }
}
