import Crypto
import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

@Suite("The Bedrock simulator")
struct BedrockTests {
    typealias Question = Dialect.Question

    /// A request signed as AWS asks for it, at the desk's time.
    private func signed(
        _ desk: Desk,
        model: String = "us.anthropic.claude-sim-v1%3A0",
        id: String = "AKIASIM",
        secret: String = CredentialRules.defaultAWSSecret,
        token: String? = nil,
        at offset: Int64 = 0,
        region: String = "us-east-1",
        service: String = "bedrock",
        change: (inout HTTPRequestHead, inout [UInt8]) -> Void = { _, _ in }
    ) -> AnswerPlan {
        var body = Dialect.bedrock.request(Question()).body
        var head = HTTPRequestHead(
            method: "POST",
            target: "/model/\(model)/invoke",
            headers: ["host": "127.0.0.1:8090", "content-type": "application/json"]
        )
        let signer = SigV4Signer(
            credentials: AWSCredentials(
                accessKeyID: id,
                secretAccessKey: Secret(secret),
                sessionToken: token.map { Secret($0) }
            ),
            region: region,
            service: service
        )
        let added = signer.sign(
            method: head.method,
            path: head.target,
            headers: head.headers.strings.map { ($0.name, $0.value) },
            payloadHash: SHA256.hex(body),
            secondsSinceEpoch: desk.now / 1_000_000 + offset
        )
        for (name, value) in added { head.headers.add(name, value) }
        change(&head, &body)
        return desk.send(head.method, head.target, head.headers, body)
    }

    private func errorType(_ plan: AnswerPlan) -> String? {
        plan.head?.headers["x-amzn-errortype"]?.split(separator: ":").first.map { String($0) }
    }

    @Test("a good signature passes, with a session token and in any region too")
    func good() {
        let desk = Desk()
        let plan = signed(desk)
        #expect(plan.status == 200)
        #expect(plan.json["model"] == "claude-sim")
        #expect(plan.json["id"]?.string?.hasPrefix("msg_bdrk_") == true)
        #expect(plan.head?.headers["x-amzn-bedrock-output-token-count"] != nil)
        #expect(signed(desk, token: "session", region: "eu-central-1").status == 200)
        #expect(signed(desk, model: "claude-sim").status == 200)
        desk.state.credentials.awsSecrets = ["AKIASIM": "other"]
        #expect(signed(desk, secret: "other").status == 200)
        #expect(errorType(signed(desk)) == "InvalidSignatureException")
    }

    @Test("whatever is not as it was signed is refused")
    func bad() {
        let desk = Desk()
        let changes: [(inout HTTPRequestHead, inout [UInt8]) -> Void] = [
            { head, _ in head.target = "/model/other/invoke" }, { head, _ in head.target += "?a=b" },
            { _, body in body.append(0x20) }, { head, _ in head.headers.set("content-type", "text/plain") },
            { head, _ in head.headers.set("x-amz-date", "20270115T080100Z") },
        ]
        for change in changes {
            let plan = signed(desk, change: change)
            #expect(plan.status == 403)
            #expect(errorType(plan) == "InvalidSignatureException")
        }
        #expect(errorType(signed(desk, secret: "wrong")) == "InvalidSignatureException")
        #expect(errorType(signed(desk, at: -301)) == "InvalidSignatureException")
        #expect(signed(desk, at: 300).status == 200)
        #expect(signed(desk, service: "s3").status == 403)
        let unsigned = signed(desk) { head, _ in head.headers.remove("authorization") }
        #expect(errorType(unsigned) == "MissingAuthenticationTokenException")
        desk.state.credentials.revoked = ["AKIASIM"]
        #expect(errorType(signed(desk)) == "UnrecognizedClientException")
        let odd = signed(desk) { head, _ in head.headers.set("authorization", "AWS4-HMAC-SHA256 Credential=a/b") }
        #expect(odd.status == 403)
    }

    @Test("a stream is chunks, the last of which has the metrics")
    func stream() throws {
        let plan = Desk().ask(.bedrock, Question(model: "claude-sim-i11-o22", isStream: true))
        #expect(plan.head?.headers["content-type"] == "application/vnd.amazon.eventstream")
        #expect(plan.frames.allSatisfy { $0.headers[":message-type"] == "event" })
        let events = plan.chunks
        #expect(events.first?["type"] == "message_start")
        let metrics = try #require(events.last?["amazon-bedrock-invocationMetrics"])
        #expect(metrics["inputTokenCount"] == 11)
        #expect(metrics["outputTokenCount"] == 22)
    }

    @Test("a wrong checksum comes after as many good events as asked")
    func checksum() {
        let plan = Desk().ask(.bedrock, Question(model: "claude-sim-e6-badcrc2", isStream: true))
        #expect(plan.ending == .cutClean)
        var parser = AWSEventStreamParser()
        var count = 0
        #expect(throws: AWSEventStreamError.self) { try parser.feed(plan.body) { _ in count += 1 } }
        // message_start, content_block_start and ping come before the two deltas.
        #expect(count == 5)
        // Elsewhere events have no checksum, and the word does nothing.
        #expect(Desk().ask(.anthropic, Question(model: "claude-sim-e6-badcrc2", isStream: true)).ending == .complete)
    }

    @Test("an error within a stream is an exception")
    func exception() {
        let frames = Desk().ask(.bedrock, Question(model: "claude-sim-e6-errevent2", isStream: true)).frames
        #expect(frames.last?.headers[":message-type"] == "exception")
        #expect(frames.last?.headers[":exception-type"] == "modelStreamErrorException")
    }

    @Test(
        "a body that has what belongs elsewhere, or lacks the version, is refused",
        arguments: [
            ["model": "x"], ["stream": true], ["anthropic_version": .null], ["anthropic_version": "2023-06-01"],
            ["anthropic_beta": "x"], ["max_tokens": .null],
        ] as [JSON]
    )
    func refused(change: JSON) throws {
        let (head, body) = Dialect.bedrock.request(Question())
        let plan = Desk().send("POST", head.target, head.headers, try JSON(body).merged(with: change).encoded)
        #expect(plan.status == 400)
        #expect(errorType(plan) == "ValidationException")
    }

    @Test(
        "each error has the kind its word asks for",
        arguments: [
            ("400model", "ValidationException"), ("400ondemand", "ValidationException"),
            ("400quota", "ServiceQuotaExceededException"), ("403", "AccessDeniedException"),
            ("403model", "AccessDeniedException"),
            ("403expired", "ExpiredTokenException"), ("403token", "UnrecognizedClientException"),
            ("404", "ResourceNotFoundException"), ("408", "ModelTimeoutException"), ("424", "ModelErrorException"),
            ("429", "ThrottlingException"), ("500", "InternalServerException"), ("503", "ServiceUnavailableException"),
        ]
    )
    func errors(word: String, type: String) {
        let plan = Desk().ask(.bedrock, Question(model: "claude-sim-\(word)"))
        #expect(errorType(plan) == type)
        #expect(plan.json["message"]?.string?.isEmpty == false)
    }

    @Test("tokens are counted of a body in base64")
    func count() {
        let desk = Desk()
        let (head, body) = Dialect.bedrock.request(Question())
        let wrapped: JSON = ["input": ["invokeModel": ["body": .string(Base64.encode(body))]]]
        let plan = desk.send("POST", "/model/anthropic.claude-sim/count-tokens", head.headers, wrapped.encoded)
        #expect(plan.json == ["inputTokens": 2])
        #expect(
            desk.send("POST", "/model/anthropic.claude-sim/count-tokens", head.headers, Array("{}".utf8)).status == 400
        )
        #expect(
            desk.send("POST", "/model/us.anthropic.claude-sim/count-tokens", head.headers, wrapped.encoded).status
                == 400
        )
        #expect(desk.send("POST", "/model/claude-sim/converse", head.headers, body).status == 404)
    }
}
