import Dialects
import Formats
import TestSupport
import Testing

@Suite("What upstreams' errors give away")
struct LeakScrubberTests {
    private struct Row: CustomTestStringConvertible {
        var said: String
        var told: String
        var testDescription: String { said }

        init(_ said: String, _ told: String) { (self.said, self.told) = (said, told) }
    }

    private static let leaks: [Row] = [
        // Organisations, projects, workspaces, users.
        Row(
            "Rate limit reached for gpt-5 in organization org-AbCdEf123456 on tokens",
            "Rate limit reached for gpt-5 in organization [redacted] on tokens"
        ),
        Row("(org-abc123).", "([redacted])."),
        Row("Project `proj_QwErTy789012` has no access", "Project `[redacted]` has no access"),
        Row("user-abcdefghij0123456789", "[redacted]"),
        Row("workspace wrkspc_01ABCdef", "workspace [redacted]"),
        Row("organization 8f14e45f-ceea-467f-9c32-0f1e2d3c4b5a is over", "organization [redacted] is over"),
        Row("Consumer 'projects/my-secret-project' has", "Consumer 'projects/[redacted]' has"),
        Row("consumer: project_number:1098765432", "consumer: project_number:[redacted]"),
        Row("has not been used in project 123456789012 before", "has not been used in project [redacted] before"),
        // Keys and tokens.
        Row("Incorrect API key provided: sk-proj-AbC_dEf-123.", "Incorrect API key provided: [redacted]."),
        Row("key sk-ant-api03-abcdefgh is", "key [redacted] is"),
        Row("Incorrect API key provided: sk-ab***********wxyz.", "Incorrect API key provided: [redacted]."),
        Row("AIzaSyA1234567890abcdefghij", "[redacted]"),
        Row("ya29.a0AfH6SMBx-abc_def", "[redacted]"),
        Row("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
        Row("authorization: Bearer abcdefgh12345678zz", "authorization: Bearer [redacted]"),
        Row("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "[redacted]"),
        Row("GET /v1beta/models?key=AbCdEf12345&alt=sse", "GET /v1beta/models?key=[redacted]&alt=sse"),
        Row("X-Amz-Signature=deadbeef00", "X-Amz-Signature=[redacted]"),
        // AWS.
        Row(
            "User: arn:aws:sts::123456789012:assumed-role/gateway/i-0abc is not authorized",
            "User: [redacted] is not authorized"
        ),
        Row("account 123456789012.", "account [redacted]."),
        Row("Your account (210987654321) is", "Your account ([redacted]) is"),
        // Mailboxes.
        Row("Sign in as jane.doe+ai@mail.acme-corp.com, please", "Sign in as [redacted], please"),
        Row("owner:bot@my-project.iam.gserviceaccount.com", "owner:[redacted]"),
        Row("j***@acme.io", "[redacted]"),
        // Hosts and addresses.
        Row("dial tcp 10.2.3.4:8443: refused", "dial tcp [redacted]: refused"),
        Row("your IP 203.0.113.9 is not allowed", "your IP [redacted] is not allowed"),
        Row("from ::1 and fd00:1:2::3", "from [redacted] and [redacted]"),
        Row("2001:db8:0:1:2:3:4:5", "[redacted]"),
        Row("lookup llm-7.prod.svc.cluster.local: no such host", "lookup [redacted]: no such host"),
        Row("http://vllm:8000/v1/chat failed", "[redacted] failed"),
        Row("(http://192.168.1.5/v1)", "([redacted])"),
        Row("http://[fd00::7]:80/x", "[redacted]"),
        Row("https://user:pass@api.example.com/v1", "[redacted]"),
        Row("at localhost:11434", "at [redacted]"),
        Row("ip-10-0-0-1.eu-west-1.compute.internal", "[redacted]"),
        Row(
            "see https://platform.openai.com/settings/org-AbCdEf123456/limits.",
            "see https://platform.openai.com/settings/[redacted]/limits."
        ),
        Row("POST https://hidden.example.com/v1/messages failed", "POST [redacted] failed"),
        Row("HIDDEN.example.com says no", "[redacted] says no"),
        Row("ä org-abc123 ö", "ä [redacted] ö"),
    ]

    @Test("ids, keys, mailboxes, hosts inside and addresses are taken out, and no more", arguments: leaks)
    private func scrubbed(row: Row) {
        #expect(LeakScrubber.scrub(row.said, hiding: ["hidden.example.com"]) == row.told)
    }

    @Test(
        "what gives nothing away stays",
        arguments: [
            "", "max_tokens: must be at most 8192", "messages.0.content.1.text: Field required",
            "tools.0.custom.input_schema.properties.local: Extra inputs are not permitted",
            "tools.0.org-chart.user-provided-content: invalid", "The model claude-sonnet-4-5-20250929 does not exist",
            "request_id: req_011CSHoEeqs5C35K2UUqR7Fy", "Request ID 8f14e45f-ceea-467f-9c32-0f1e2d3c4b5a of a user",
            "prompt is too long: 215000 tokens > 200000 maximum", "claude-3-5-sonnet@20240620",
            "see https://docs.anthropic.com/en/api/errors and https://ai.google.dev/gemini-api/docs.",
            "at 2026-11-21T10:11:12.123Z, version 1.2.3", "token: unexpected", "std::vector and a:b:c",
            "key: messages and task-force",
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3.5 instead.",
            "data:image/png;base64,iVBORw0KGgo", "call_0123456789abcdef, toolu_01A09q90qw",
            "日本語のエラー", "@", "a@b", "://", ":", "::", "arn", "1.2.3", "https://",
        ]
    )
    func harmless(text: String) {
        #expect(LeakScrubber.scrub(text, hiding: ["hidden.example.com"]) == nil)
    }

    @Test("an error body loses what leaks, and nothing else of it is touched")
    func bodies() {
        let body =
            #"{ "type":"error", "error" : {"message":"no \u0022org-abc123\u0022 \/ é", "n":1.50, "d":["x","a@b.co"]} }"#
        let told =
            #"{ "type":"error", "error" : {"message":"no \"[redacted]\" / é", "n":1.50, "d":["x","[redacted]"]} }"#
        let parser = JSONParser()
        #expect(ErrorScrub.body(Array(body.utf8), parser).map { String(decoding: $0, as: UTF8.self) } == told)
        #expect(ErrorScrub.body(Array(#"{"error":{"message":"no \/ é"}}"#.utf8), parser) == nil)
        #expect(ErrorScrub.body(Array("<html>a@b.co".utf8), parser) == nil)
    }

    @Test(
        "an answer that an error comes with is the caller's own and stays",
        arguments: [
            (
                #"{"response":{"output":"write to a@b.co","error":{"message":"a@b.co"}}}"#,
                #"{"response":{"output":"write to a@b.co","error":{"message":"[redacted]"}}}"#
            ),
            (
                #"{"output":["write to a@b.co"],"error":{"message":"a@b.co"}}"#,
                #"{"output":["write to a@b.co"],"error":{"message":"[redacted]"}}"#
            ),
            (#"{"output":["write to a@b.co"],"error":null}"#, nil), (#"{"response":{"id":"a@b.co"}}"#, nil),
        ]
    )
    func answers(said: String, told: String?) {
        let found = ErrorScrub.body(Array(said.utf8), JSONParser()).map { String(decoding: $0, as: UTF8.self) }
        #expect(found == told)
    }

    @Test(
        "the event that ends a stream is scrubbed and keeps its name",
        arguments: [
            (
                "event: error\ndata: {\"error\":{\"message\":\"for org-abc123\"}}\n\n",
                "event: error\ndata: {\"error\":{\"message\":\"for [redacted]\"}}\n\n"
            ),
            ("event: error\ndata: for org-abc123\n\n", "event: error\ndata: for [redacted]\n\n"),
            ("data: {\"error\":{\"message\":\"overloaded\"}}\n\n", nil),
        ]
    )
    func events(sent: String, told: String?) throws {
        var parser = SSEParser()
        var found: [String?] = []
        try Array(sent.utf8).withUnsafeBytes { bytes in
            try parser.feed(bytes) { event in
                found.append(ErrorScrub.event(event, JSONParser()).map { String(decoding: $0, as: UTF8.self) })
            }
        }
        #expect(found == [told])
    }

    @Test("hostile text costs no more than its length allows")
    func cost() {
        for word in ["a-", "a.", "1:", "a@", "http://", "sk-", "x=", "é"] {
            _ = LeakScrubber.scrub(String(repeating: word, count: 4000), hiding: ["hidden.example.com"])
        }
    }

    @Test("an error of many texts that leak costs no more than its length allows")
    func costOfMany() {
        let parser = JSONParser()
        func time(_ count: Int) -> Duration {
            let texts = Array(repeating: #"{"input":"a@b.co"}"#, count: count).joined(separator: ",")
            let body = Array(#"{"error":{"detail":[\#(texts)]}}"#.utf8)
            return threadTime { _ = ErrorScrub.body(body, parser) }
        }
        let few = time(1000)
        // Ten times as many: a walk from the beginning for each would take a hundred times as long.
        #expect(time(10_000) < few * 40)
    }
}
