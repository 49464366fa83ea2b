import Crypto
import Formats
import HTTPMessages
import Providers
import Testing

@Suite("Calls to Bedrock")
struct BedrockTests {
    @Test(
        "a model gets the id under which the account's region serves it",
        arguments: [
            ("claude-sonnet-4-5-20250929", "us-east-1", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ("claude-sonnet-4-5", "eu-west-3", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ("claude-sonnet-4-5", "ap-northeast-1", "jp.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ("claude-sonnet-4-5", "ap-southeast-2", "au.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ("claude-sonnet-4-5", "ap-south-1", "global.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ("claude-sonnet-4-5", "sa-east-1", "global.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ("claude-sonnet-4-5", "us-gov-west-1", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ("claude-sonnet-4", "ap-northeast-1", "apac.anthropic.claude-sonnet-4-20250514-v1:0"),
            ("claude-3-5-sonnet-20241022", "us-west-2", "us.anthropic.claude-3-5-sonnet-20241022-v2:0"),
            ("claude-3-5-haiku-latest", "eu-west-1", "anthropic.claude-3-5-haiku-20241022-v1:0"),
            ("claude-opus-4-6", "us-east-2", "us.anthropic.claude-opus-4-6-v1"),
            ("claude-opus-9", "us-east-2", "us.anthropic.claude-opus-9"),
            ("claude-opus-9-20300101", "eu-north-1", "eu.anthropic.claude-opus-9"),
            ("claude-opus-4-6-20260205", "us-east-2", "us.anthropic.claude-opus-4-6-v1"),
            ("claude-opus-4-7-20260416", "us-east-2", "us.anthropic.claude-opus-4-7"),
            ("claude-opus-5-5", "ap-northeast-1", "jp.anthropic.claude-opus-5-5"),
            ("claude-fable-5-1", "ap-northeast-1", "global.anthropic.claude-fable-5-1"),
            ("claude-opus-9", "me-central-1", "global.anthropic.claude-opus-9"),
        ]
    )
    func ids(model: String, region: String, id: String) {
        #expect(BedrockModels.id(for: model, region: region) == id)
    }

    @Test(
        "ids, profiles and ARNs stay as they are",
        arguments: [
            "anthropic.claude-3-haiku-20240307-v1:0", "us.anthropic.claude-sonnet-4-20250514-v1:0",
            "global.anthropic.claude-opus-4-5-20251101-v1:0",
            "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2c3", "amazon.nova-pro-v1:0",
        ]
    )
    func fullIDs(id: String) { #expect(BedrockModels.id(for: id, region: "ap-south-1") == id) }

    @Test("a model's id is one segment of the path")
    func path() {
        #expect(
            BedrockModels.path(of: "us.anthropic.claude-x-v1:0", .invoke)
                == "/model/us.anthropic.claude-x-v1%3A0/invoke"
        )
        #expect(
            BedrockModels.path(of: "arn:aws:bedrock:us-east-1:1:inference-profile/x", .stream)
                == "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/invoke-with-response-stream"
        )
    }

    @Test(
        "tokens are counted for the model that a profile leads to",
        arguments: [
            ("us.anthropic.claude-x-v1:0", "anthropic.claude-x-v1%3A0"),
            ("us-gov.anthropic.claude-x", "anthropic.claude-x"), ("anthropic.claude-x", "anthropic.claude-x"),
            ("amazon.nova-pro-v1:0", "amazon.nova-pro-v1%3A0"), (".anthropic.", "anthropic."),
            (
                "arn:aws:bedrock:us-east-1:1:x/us.anthropic.y",
                "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ax%2Fus.anthropic.y"
            ),
        ]
    )
    func countPath(id: String, expected: String) {
        #expect(BedrockModels.path(of: id, .countTokens) == "/model/\(expected)/count-tokens")
    }

    @Test(
        "what is counted could be invoked",
        arguments: [
            (
                #"{"model":"m","messages":[]}"#,
                #"{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"anthropic_beta":["b"],"messages":[]}"#
            ),
            (
                #"{"max_tokens":7,"messages":[]}"#,
                #"{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["b"],"max_tokens":7,"messages":[]}"#
            ),
            (
                #"{"thinking":{"type":"enabled","budget_tokens":2048},"messages":[]}"#,
                #"{"anthropic_version":"bedrock-2023-05-31","max_tokens":2049,"anthropic_beta":["b"],"thinking":{"type":"enabled","budget_tokens":2048},"messages":[]}"#
            ),
            (
                #"{"thinking":{"budget_tokens":9223372036854775807}}"#,
                #"{"anthropic_version":"bedrock-2023-05-31","max_tokens":1000001,"anthropic_beta":["b"],"thinking":{"budget_tokens":9223372036854775807}}"#
            ),
        ]
    )
    func countBody(given: String, invoked: String) throws {
        let body = try JSON(try BedrockBody.counting(Array(given.utf8), betas: ["b"], JSONParser()))
        let inner = try #require(Base64.decode(body["input"]?["invokeModel"]?["body"]?.string ?? ""))
        #expect(String(decoding: inner, as: UTF8.self) == invoked)
    }

    @Test(
        "a name that leads elsewhere has no path",
        arguments: ["", ".", "..", "a?b", "a#b", "a b", "a\r\nb", "ä", "a%2e", String(repeating: "a", count: 2049)]
    )
    func noPath(id: String) { #expect(BedrockModels.path(of: id, .invoke) == nil) }

    static let bodies: [(given: String, sent: String)] = [
        (#"{"model":"m","messages":[]}"#, #"{V,"messages":[]}"#),
        (#"{"messages":[],"model":"m"}"#, #"{V,"messages":[]}"#),
        (#"{"model":"m","stream":true}"#, #"{V}"#),
        (#"{"a":1,"model":"m","stream":true}"#, #"{V,"a":1}"#),
        (#"{"model":"m","a":1,"stream":true,"b":2}"#, #"{V,"a":1,"b":2}"#),
        (#"{"model":"m","stream":true,"b":2}"#, #"{V,"b":2}"#),
        (#" { "a" : 1 , "model" : "m" , "b":[ {"model":"kept"} ] } "#, #"{V, "a" : 1  , "b":[ {"model":"kept"} ] }"#),
        ("{\n  \"model\": \"m\",\n  \"x\": 1.50\n}", "{V\n  ,\n  \"x\": 1.50\n}"),
        (
            #"{"a":",\"model\":\"x\"","anthropic_version":"2023-06-01","model":"m"}"#,
            #"{V,"a":",\"model\":\"x\""}"#
        ),
        (#"{"m\u006fdel":"m","z":"\u00e9\/"}"#, #"{V,"z":"\u00e9\/"}"#),
        (#"{}"#, #"{V}"#),
        (#"{"anthropic_beta":["own"],"a":null}"#, #"{V,"a":null}"#),
    ]

    @Test("model and stream leave the body, the version comes in, and nothing else changes", arguments: bodies)
    func body(given: String, sent: String) throws {
        let expected = sent.replacing("V", with: #""anthropic_version":"bedrock-2023-05-31""#)
        let found = try BedrockBody.converted(Array(given.utf8), betas: [], JSONParser())
        #expect(String(decoding: found, as: UTF8.self) == expected)
        #expect(throws: Never.self) { try JSON(found) }
    }

    @Test("betas go into the body, each where a header cannot forge anything")
    func betas() throws {
        let given = Array(#"{"model":"m","anthropic_beta":["old"],"a":1}"#.utf8)
        #expect(try BedrockBody.betas(in: given, JSONParser()) == ["old"])
        let found = try BedrockBody.converted(given, betas: ["new-1", "x\"],\"y\":[\"z"], JSONParser())
        #expect(
            String(decoding: found, as: UTF8.self)
                == #"{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["new-1","x\"],\"y\":[\"z"],"a":1}"#
        )
        #expect(try BedrockBody.betas(in: Array(#"{"anthropic_beta":null}"#.utf8), JSONParser()) == [])
    }

    @Test(
        "bodies that could be read in two ways are refused",
        arguments: [
            #"{"model":"a","model":"b"}"#, #"{"stream":true,"stream":false}"#,
            #"{"anthropic_beta":[],"anthropic_beta":[]}"#, "[]", "", "{",
            #"{"a":"# + String(repeating: "[", count: 9000),
        ]
    )
    func refused(text: String) {
        #expect(throws: (any Error).self) { try BedrockBody.converted(Array(text.utf8), betas: [], JSONParser()) }
    }

    @Test("betas that are no texts are refused", arguments: [#"{"anthropic_beta":"x"}"#, #"{"anthropic_beta":[1]}"#])
    func wrongBetas(text: String) {
        #expect(throws: (any Error).self) { try BedrockBody.betas(in: Array(text.utf8), JSONParser()) }
    }

    // MARK: Credentials

    static let key = AWSCredentials(
        accessKeyID: "AKIDEXAMPLE",
        secretAccessKey: Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        sessionToken: Secret("AQoDYXdz")
    )

    /// The signature is botocore's for the same request.
    @Test("a request is signed over what reaches AWS, and over nothing that changes on the way")
    func signs() throws {
        var head = HTTPRequestHead(
            method: "POST",
            target: "/model/us.anthropic.claude-x-v1%3A0/invoke",
            headers: [
                "host": "bedrock-runtime.us-east-1.amazonaws.com", "content-type": "application/json",
                "user-agent": "x", "accept-encoding": "identity", "authorization": "old",
            ]
        )
        for _ in 0..<2 {
            BedrockSigning.authorize(
                &head,
                body: Array("{}".utf8),
                with: .sigV4(Self.key),
                region: "us-east-1",
                secondsSinceEpoch: 1_440_938_160
            )
        }
        #expect(head.headers.values("authorization").count == 1)
        #expect(head.headers["x-amz-date"] == "20150830T123600Z")
        #expect(head.headers["x-amz-security-token"] == "AQoDYXdz")
        #expect(
            head.headers["authorization"]
                == "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, "
                + "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "
                + "Signature=ab1d169d016ddd6b1275e14a800f1fd36b4b205a901e473155ac38156e3a6445"
        )
    }

    @Test("an API key is a bearer token")
    func bearer() {
        var head = HTTPRequestHead(method: "POST", target: "/", headers: ["host": "h"])
        BedrockSigning.authorize(&head, body: [], with: .apiKey(Secret("k")), region: "r", secondsSinceEpoch: 0)
        #expect(head.headers["authorization"] == "Bearer k" && !head.headers.contains("x-amz-date"))
    }

    @Test("credentials are read by the account's mode, and what is incomplete is none")
    func credentials() {
        let key = ["secret_access_key": Secret("s")]
        let both = ["secret_access_key": Secret("s"), "api_key": Secret("k")]
        typealias Credentials = BedrockCredentials
        #expect(Credentials(authMode: "apikey", accessKeyID: "i", both) == .apiKey(Secret("k")))
        let signed = Credentials.sigV4(AWSCredentials(accessKeyID: "i", secretAccessKey: Secret("s")))
        #expect(Credentials(authMode: "sigv4", accessKeyID: "i", both) == signed)
        #expect(Credentials(authMode: nil, accessKeyID: "i", key) == signed)
        #expect(Credentials(authMode: "sigv4", accessKeyID: nil, key) == nil)
        #expect(Credentials(authMode: "apikey", accessKeyID: "i", key) == nil)
        #expect(Credentials(authMode: nil, accessKeyID: nil, [:]) == nil)
    }

    @Test("a region's endpoint is made from its name alone")
    func endpoint() {
        #expect(
            BedrockSigning.baseURL(region: "eu-west-1") == "https://bedrock-runtime.eu-west-1.amazonaws.com"
        )
        #expect(BedrockSigning.baseURL(region: "cn-north-1")?.hasSuffix(".amazonaws.com.cn") == true)
        for wrong in ["", "evil.com/", "a.b", "US-EAST-1", "a@b"] {
            #expect(BedrockSigning.baseURL(region: wrong) == nil)
        }
    }
}
