import Crypto
import Formats
import HTTPMessages

/// The `Authorization` field of a request that is signed with AWS Signature Version 4.
struct BedrockSignature {
    let accessKeyID: String
    private let day: String
    private let region: String
    private let service: String
    private let signedHeaders: [String]
    private let signature: String

    private static let algorithm = "AWS4-HMAC-SHA256"

    /// Nil when the request is not signed so.
    init?(_ head: HTTPRequestHead) {
        guard let value = head.headers["authorization"], value.hasPrefix(Self.algorithm) else { return nil }
        var parts: [String: String] = [:]
        for part in value.dropFirst(Self.algorithm.count).split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1)
            guard pair.count == 2 else { return nil }
            parts[String(pair[0].filter { $0 != " " })] = String(pair[1])
        }
        let scope = parts["Credential"]?.split(separator: "/").map(String.init) ?? []
        guard scope.count == 5, scope[4] == "aws4_request", let signature = parts["Signature"] else { return nil }
        accessKeyID = scope[0]
        day = scope[1]
        region = scope[2]
        service = scope[3]
        signedHeaders = parts["SignedHeaders"]?.split(separator: ";").map(String.init) ?? []
        self.signature = signature
    }

    enum Fault: Equatable { case mismatch, expired, unsignedHost, wrongScope }

    /// What is wrong with the signature; nil when it is good.
    ///
    /// - Parameter now: seconds since 1970.
    func fault(of call: SimulatedCall, secret: String, now: Int64) -> Fault? {
        guard service == "bedrock" else { return .wrongScope }
        guard signedHeaders.contains("host"), signedHeaders.contains("x-amz-date") else { return .unsignedHost }
        guard let time = call.head.headers["x-amz-date"].flatMap(Self.seconds), time.text.hasPrefix(day) else {
            return .mismatch
        }
        guard abs(time.seconds &- now) <= 300 else { return .expired }
        var headers: SigV4Signer.Fields = []
        var token: Secret?
        for name in signedHeaders {
            for value in call.head.headers.values(name) {
                switch name {
                // The signer adds these two.
                case "x-amz-date": break
                case "x-amz-security-token": token = Secret(value)
                default: headers.append((name, value))
                }
            }
        }
        let credentials = AWSCredentials(
            accessKeyID: accessKeyID,
            secretAccessKey: Secret(secret),
            sessionToken: token
        )
        let signed = SigV4Signer(credentials: credentials, region: region, service: service).sign(
            method: call.head.method,
            path: String(call.head.path),
            query: String(call.head.query),
            headers: headers,
            payloadHash: SHA256.hex(call.body ?? []),
            secondsSinceEpoch: time.seconds
        )
        let expected = signed.first { $0.name == "authorization" }?.value ?? ""
        return expected.hasSuffix("Signature=\(signature)") ? nil : .mismatch
    }

    /// The time that `20150830T123600Z` says.
    private static func seconds(_ text: String) -> (text: String, seconds: Int64)? {
        let digits = Array(text)
        guard digits.count == 16, digits[8] == "T", digits[15] == "Z" else { return nil }
        func part(_ range: Range<Int>) -> String { String(digits[range]) }
        let iso =
            "\(part(0..<4))-\(part(4..<6))-\(part(6..<8))T\(part(9..<11)):\(part(11..<13)):\(part(13..<15))Z"
        return RFC3339.parse(iso).map { (text, $0 / 1_000_000) }
    }
}
