import Formats

/// Credentials of an AWS account.
package struct AWSCredentials: Sendable, Equatable {
    package var accessKeyID: String
    package var secretAccessKey: Secret
    /// Of temporary credentials.
    package var sessionToken: Secret?

    package init(accessKeyID: String, secretAccessKey: Secret, sessionToken: Secret? = nil) {
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken
    }
}

/// Signs requests with AWS Signature Version 4 (AWS IAM guide, "Create a signed AWS API request"), by header.
///
/// For every service but S3, whose paths are canonical as they are.
package struct SigV4Signer: Sendable {
    /// Header fields, in no particular order.
    package typealias Fields = [(name: String, value: String)]

    private static let algorithm = "AWS4-HMAC-SHA256"

    private let credentials: AWSCredentials
    private let region: String
    private let service: String

    /// - Parameter service: the name that AWS signs under: `bedrock` for `bedrock-runtime`.
    package init(credentials: AWSCredentials, region: String, service: String) {
        self.credentials = credentials
        self.region = region
        self.service = service
    }

    /// The fields to add to a request: `x-amz-date`, with temporary credentials `x-amz-security-token`, and
    /// `authorization`.
    ///
    /// - Parameters:
    ///   - path: as it goes over the wire, percent-encoded.
    ///   - query: without the `?`.
    ///   - headers: the fields to be signed, `host` among them. They must reach AWS with these values.
    ///   - payloadHash: SHA-256 of the body, in hexadecimal digits.
    ///   - secondsSinceEpoch: the time; AWS accepts 5 minutes of difference.
    package func sign(
        method: String,
        path: String,
        query: String = "",
        headers: Fields,
        payloadHash: String,
        secondsSinceEpoch: Int64
    ) -> Fields {
        let date = SigV4Date(secondsSinceEpoch: secondsSinceEpoch)
        var added: Fields = [("x-amz-date", date.time)]
        if let token = credentials.sessionToken { added.append(("x-amz-security-token", token.reveal())) }
        let request = SigV4CanonicalRequest(
            method: method,
            path: path,
            query: query,
            headers: headers + added,
            payloadHash: payloadHash
        )
        let scope = "\(date.day)/\(region)/\(service)/aws4_request"
        let text = "\(Self.algorithm)\n\(date.time)\n\(scope)\n\(SHA256.hex(request.bytes))"
        let signature = Hex.encode(HMACSHA256.authenticate(text, key: signingKey(day: date.day)))
        let authorization =
            "\(Self.algorithm) Credential=\(credentials.accessKeyID)/\(scope), "
            + "SignedHeaders=\(request.signedHeaders), Signature=\(signature)"
        added.append(("authorization", authorization))
        return added
    }

    /// The key of a day, region and service.
    internal func signingKey(day: String) -> [UInt8] {
        var key = credentials.secretAccessKey.withValue { Array("AWS4\($0)".utf8) }
        for part in [day, region, service, "aws4_request"] { key = HMACSHA256.authenticate(part, key: key) }
        return key
    }
}

/// A time as `20150830T123600Z`, and its day.
private struct SigV4Date {
    let time: String
    var day: String { String(time.prefix(8)) }

    init(secondsSinceEpoch: Int64) {
        // Times beyond the years that have four digits are a broken clock's.
        let seconds = min(max(secondsSinceEpoch, 0), 253_402_300_799)
        let date = CivilDate(daysSinceEpoch: Int(seconds / 86_400))
        let second = Int(seconds % 86_400)
        var digits: [UInt8] = []
        digits.reserveCapacity(16)
        func append(_ value: Int, _ scale: Int) {
            var scale = scale
            while scale > 0 {
                digits.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / scale % 10))
                scale /= 10
            }
        }
        append(date.year, 1000)
        append(date.month, 10)
        append(date.day, 10)
        digits.append(UInt8(ascii: "T"))
        append(second / 3600, 10)
        append(second / 60 % 60, 10)
        append(second % 60, 10)
        digits.append(UInt8(ascii: "Z"))
        time = String(decoding: digits, as: UTF8.self)
    }
}
