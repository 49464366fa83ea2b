import Crypto
import Formats
import TestSupport
import Testing

@Suite("AWS Signature Version 4")
struct SigV4Tests {
    /// 2015-08-30T12:36:00Z, the time of AWS's test suite.
    static let suiteTime: Int64 = 1_440_938_160
    static let emptyHash = SHA256.hex([])

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var method = "GET"
        var path = "/"
        var query = ""
        var headers: [(name: String, value: String)] = []
        var body = ""
        var token: String?
        var signed = "host;x-amz-date"
        var signature: String
        var testDescription: String { name }
    }

    /// AWS's published suite (aws-sig-v4-test-suite): key AKIDEXAMPLE, region us-east-1, service `service`.
    static let published = [
        Case(
            name: "get-header-key-duplicate",
            headers: [("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
            signed: "host;my-header1;x-amz-date",
            signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"
        ),
        Case(
            name: "get-header-value-order",
            headers: [
                ("My-Header1", "value4"), ("My-Header1", "value1"), ("My-Header1", "value3"), ("My-Header1", "value2"),
            ],
            signed: "host;my-header1;x-amz-date",
            signature: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"
        ),
        Case(
            name: "get-header-value-trim",
            headers: [("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
            signed: "host;my-header1;my-header2;x-amz-date",
            signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"
        ),
        Case(
            name: "get-unreserved",
            path: "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            signature: "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"
        ),
        Case(
            name: "get-utf8",
            path: "/ሴ",
            signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"
        ),
        Case(name: "get-vanilla", signature: vanilla),
        Case(name: "get-relative", path: "/example/..", signature: vanilla),
        Case(name: "get-relative-relative", path: "/example1/example2/../..", signature: vanilla),
        Case(name: "get-slash", path: "//", signature: vanilla),
        Case(name: "get-slash-dot-slash", path: "/./", signature: vanilla),
        Case(
            name: "get-slashes",
            path: "//example//",
            signature: "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"
        ),
        Case(
            name: "get-slash-pointless-dot",
            path: "/./example",
            signature: "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"
        ),
        Case(
            name: "get-vanilla-empty-query-key",
            query: "Param1=value1",
            signature: "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"
        ),
        Case(
            name: "get-vanilla-query-order-key-case",
            query: "Param2=value2&Param1=value1",
            signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        ),
        Case(
            name: "get-vanilla-query-unreserved",
            query: "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="
                + "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            signature: "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"
        ),
        Case(
            name: "get-vanilla-utf8-query",
            query: "ሴ=bar",
            signature: "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"
        ),
        Case(name: "post-vanilla", method: "POST", signature: postVanilla),
        Case(
            name: "post-header-key-sort",
            method: "POST",
            headers: [("My-Header1", "value1")],
            signed: "host;my-header1;x-amz-date",
            signature: "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"
        ),
        Case(
            name: "post-header-value-case",
            method: "POST",
            headers: [("My-Header1", "VALUE1")],
            signed: "host;my-header1;x-amz-date",
            signature: "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"
        ),
        Case(
            name: "post-sts-header-before",
            method: "POST",
            token:
                "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTf"
                + "lfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HF"
                + "vlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr"
                + "4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
            signed: "host;x-amz-date;x-amz-security-token",
            signature: "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
        ),
        Case(
            name: "post-vanilla-query",
            method: "POST",
            query: "Param1=value1",
            signature: "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"
        ),
        Case(
            name: "post-vanilla-query-nonunreserved",
            method: "POST",
            query: "%40%23%24%25%5E=&%2B=%2F%2C%3F%3E%3C%60%22%3B%3A%5C%7C%5D%5B%7B%7D",
            signature: "66c82657c86e26fb25238d0e69f011edc4c6df5ae71119d7cb98ed9b87393c1e"
        ),
        Case(
            name: "post-vanilla-query-space",
            method: "POST",
            query: "p=",
            signature: "e71688addb58a26418614085fb730ba3faa623b461c17f48f2fbdb9361b94a9b"
        ),
        Case(
            name: "post-x-www-form-urlencoded",
            method: "POST",
            headers: [("Content-Type", "application/x-www-form-urlencoded")],
            body: "Param1=value1",
            signed: "content-type;host;x-amz-date",
            signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        ),
        Case(
            name: "post-x-www-form-urlencoded-parameters",
            method: "POST",
            headers: [("Content-Type", "application/x-www-form-urlencoded; charset=utf8")],
            body: "Param1=value1",
            signed: "content-type;host;x-amz-date",
            signature: "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"
        ),
    ]
    static let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    static let postVanilla = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"

    static func signer(token: String? = nil) -> SigV4Signer {
        SigV4Signer(
            credentials: AWSCredentials(
                accessKeyID: "AKIDEXAMPLE",
                secretAccessKey: Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                sessionToken: token.map { Secret($0) }
            ),
            region: "us-east-1",
            service: "service"
        )
    }

    @Test("AWS's published requests get their published signatures", arguments: published)
    func publishedVector(vector: Case) throws {
        let added = Self.signer(token: vector.token).sign(
            method: vector.method,
            path: vector.path,
            query: vector.query,
            headers: [("Host", "example.amazonaws.com")] + vector.headers,
            payloadHash: SHA256.hex(vector.body),
            secondsSinceEpoch: Self.suiteTime
        )
        #expect(added.first?.name == "x-amz-date" && added.first?.value == "20150830T123600Z")
        #expect(added.first { $0.name == "x-amz-security-token" }?.value == vector.token)
        #expect(
            added.last?.value
                == "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                + "SignedHeaders=\(vector.signed), Signature=\(vector.signature)"
        )
    }

    @Test("random requests are signed as botocore signs them")
    func botocore() throws {
        var count = 0
        for line in sigV4Cases.split(separator: "\n") {
            let fields = try #require(try JSON(text: String(line)).array)
            func text(_ at: Int) throws -> String { try #require(fields[at].string) }
            let signer = SigV4Signer(
                credentials: AWSCredentials(
                    accessKeyID: try text(7),
                    secretAccessKey: Secret(try text(8)),
                    sessionToken: fields[9].string.map { Secret($0) }
                ),
                region: try text(5),
                service: try text(6)
            )
            let headers = try #require(fields[3].array).map { ($0[0]?.string ?? "", $0[1]?.string ?? "") }
            let added = signer.sign(
                method: try text(0),
                path: try text(1),
                query: try text(2),
                headers: headers.map { (name: $0.0, value: $0.1) },
                payloadHash: SHA256.hex(try text(4)),
                secondsSinceEpoch: try #require(fields[10].int64)
            )
            #expect(added.last?.value == (try text(11)), "\(line)")
            count += 1
        }
        #expect(count == 48)
    }

    @Test("a model id that went over the wire encoded is signed encoded twice")
    func doubleEncoding() {
        func signature(_ path: String) -> String? {
            Self.signer().sign(
                method: "POST",
                path: path,
                headers: [("host", "h")],
                payloadHash: Self.emptyHash,
                secondsSinceEpoch: Self.suiteTime
            ).last?.value
        }
        #expect(signature("/model/a%3A0/invoke") != signature("/model/a:0/invoke"))
    }

    @Test("credentials have no printable form")
    func secrecy() {
        let credentials = AWSCredentials(
            accessKeyID: "AKID",
            secretAccessKey: Secret("hush"),
            sessionToken: Secret("hush")
        )
        #expect(!"\(credentials)".contains("hush") && !String(reflecting: credentials).contains("hush"))
    }

    @Test("odd paths, queries, headers and times are signed without a crash")
    func fuzz() {
        var random = SeededGenerator(seed: 11)
        let seed = Array("/a/%3A/../b//./%zz%?x=%41&=&&y=+ é".utf8)
        for _ in 0..<3000 {
            let text = String(decoding: random.mutated(seed, alphabet: Array("/.%?&=+ \0".utf8)), as: UTF8.self)
            let added = Self.signer().sign(
                method: "POST",
                path: text,
                query: text,
                headers: [("host", text), (text, text)],
                payloadHash: "",
                secondsSinceEpoch: Int64(bitPattern: random.next())
            )
            #expect(added.count == 2 && added[0].value.utf8.count == 16)
        }
    }
}
