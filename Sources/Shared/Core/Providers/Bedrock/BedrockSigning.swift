package import Crypto
package import HTTPMessages

/// How an account proves itself to Bedrock.
package enum BedrockCredentials: Sendable, Equatable {
    case sigV4(AWSCredentials)
    /// A Bedrock API key, as a bearer token.
    case apiKey(Secret)

    /// Reads an account's fields; nil when something is missing.
    ///
    /// - Parameter authMode: `sigv4` or `apikey`; nil is whichever the secrets allow.
    package init?(authMode: String?, accessKeyID: String?, _ secrets: [String: Secret]) {
        if let key = secrets["api_key"], authMode != "sigv4" {
            self = .apiKey(key)
        } else if let id = accessKeyID ?? secrets["access_key_id"]?.reveal(), !id.isEmpty,
            let secret = secrets["secret_access_key"], authMode != "apikey"
        {
            let token = secrets["session_token"].flatMap { $0.isEmpty ? nil : $0 }
            self = .sigV4(AWSCredentials(accessKeyID: id, secretAccessKey: secret, sessionToken: token))
        } else {
            return nil
        }
    }
}

/// Puts credentials onto requests to Bedrock.
package enum BedrockSigning {
    /// The endpoint of a region; nil for a name that is none.
    package static func baseURL(region: String) -> String? {
        guard (1...32).contains(region.utf8.count),
            region.utf8.allSatisfy({
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
            })
        else { return nil }
        return "https://bedrock-runtime.\(region).amazonaws.com\(region.hasPrefix("cn-") ? ".cn" : "")"
    }

    /// Adds the credentials to a head that is otherwise complete.
    ///
    /// Signed are `host`, `content-type` and AWS' own fields: what a proxy on the way may change must stay out.
    package static func authorize(
        _ head: inout HTTPRequestHead,
        body: [UInt8],
        with credentials: BedrockCredentials,
        region: String,
        secondsSinceEpoch: Int64
    ) {
        for name in ["authorization", "x-amz-date", "x-amz-security-token"] { head.headers.remove(name) }
        switch credentials {
        case .apiKey(let key): head.headers.add("authorization", "Bearer " + key.reveal())
        case .sigV4(let credentials):
            let signed = head.headers.strings.filter {
                $0.name == "host" || $0.name == "content-type" || $0.name.hasPrefix("x-amz-")
            }
            let added = SigV4Signer(credentials: credentials, region: region, service: "bedrock").sign(
                method: head.method,
                path: String(head.path),
                query: String(head.query),
                headers: signed,
                payloadHash: SHA256.hex(body),
                secondsSinceEpoch: secondsSinceEpoch
            )
            for (name, value) in added { head.headers.add(name, value) }
        }
    }
}
