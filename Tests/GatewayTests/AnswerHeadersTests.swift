import GatewayKit
import HTTPMessages
import Testing

@Suite("Headers of answers")
struct AnswerHeadersTests {
    private func passed(_ headers: HeaderFields) -> [String] {
        AnswerHeaders.forCaller(headers, requestID: "req_1").strings.map { "\($0.name): \($0.value)" }
    }

    @Test(
        "what belongs to the connection, or would give the account away, stays here",
        arguments: [
            "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "transfer-encoding",
            "upgrade", "content-length", "content-encoding", "set-cookie", "alt-svc", "date", "server", "x-request-id",
            "x-robots-tag", "strict-transport-security", "cf-ray", "cf-cache-status", "openai-organization",
            "anthropic-organization-id",
            "anthropic-workspace-id", "openai-project", "anthropic-priority-input-tokens-remaining",
            "anthropic-fast-output-tokens-limit", "via", "nel", "report-to", "reporting-endpoints", "server-timing",
            "location", "content-location", "link", "apim-request-id", "x-ms-region",
            "alt-used", "x-served-by", "x-envoy-upstream-service-time", "www-authenticate", "authentication-info",
            "proxy-authentication-info", "access-control-allow-origin", "access-control-expose-headers",
            "anthropic-ratelimit-requests-limit", "anthropic-ratelimit-unified-5h-reset", "anthropic-ratelimit-x",
            "x-ratelimit-reset", "x-ratelimit-limit", "x-ratelimit-a", "x-ratelimit-limit-requests", "x-codex-plan",
            "x-codex-primary", "x-codex-primary-used-percent", "x-tollgate-code", "x-tollgate-x",
        ]
    )
    func dropped(name: String) {
        #expect(passed([name: "secret", "x-kept": "1"]) == ["x-kept: 1", "x-request-id: req_1"])
    }

    @Test(
        "a family of names is dropped whatever their length",
        arguments: [
            "x-ratelimit-", "x-codex-", "x-tollgate-", "anthropic-ratelimit-",
        ]
    )
    func family(prefix: String) {
        for length in 0..<32 {
            #expect(passed([prefix + String(repeating: "z", count: length): "secret"]) == ["x-request-id: req_1"])
        }
    }

    @Test("fields that any Connection header names are dropped, in any case and spacing")
    func named() {
        let headers: HeaderFields = [
            "connection": "close, X-One", "x-one": "1", "x-two": "2", "connection": "\tx-two ,,x-THREE,",
            "x-three": "3",
            "x-four": "4",
        ]
        #expect(passed(headers) == ["x-four: 4", "x-request-id: req_1"])
    }

    @Test("a Connection header that names thousands is not compared with every field")
    func manyNamed() {
        let names = (0..<20_000).map { "n\($0)" }
        let headers: HeaderFields = ["connection": names.joined(separator: ","), "n0": "1", "n31": "1", "n32": "kept"]
        #expect(passed(headers) == ["n32: kept", "x-request-id: req_1"])
    }

    @Test("all else keeps its bytes and its order, repeated fields too")
    func kept() {
        var headers: HeaderFields = [
            "content-type": "application/json; charset=utf-8", "request-id": "req_up", "x-a": "1", "vary": "Origin",
            "x-a": "2", "x-empty": "", "retry-after": "3", "x-rate": "1", "x-code": "2", "anthropic-version": "v",
        ]
        headers.add("x-bytes", "caf\u{e9} \u{fffd}")
        let raw: [UInt8] = [0x80, 0xff, 0x41]
        "x-raw".utf8.withContiguousStorageIfAvailable { name in
            raw.withUnsafeBytes { headers.add(UnsafeRawBufferPointer(name), $0) }
        }
        let answer = AnswerHeaders.forCaller(headers, requestID: "req_1")
        headers.add("x-request-id", "req_1")
        #expect(answer == headers)
    }
}
