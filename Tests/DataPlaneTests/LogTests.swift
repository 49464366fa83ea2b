import Domain
import Formats
import Glibc
import HTTPFetching
import HTTPMessages
import Reactor
import Telemetry
import TestSupport
import Testing

@testable import GatewayKit

@Suite("The log", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct LogTests {
    /// The lines that a worker has written.
    private struct Lines {
        let path: String

        func about(_ requestID: String) throws -> [JSON] {
            try all().filter { $0["request_id"]?.string == requestID }
        }

        func all() throws -> [JSON] {
            let file = open(path, O_RDONLY)
            defer { close(file) }
            var text: [UInt8] = []
            var piece = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(file, &piece, piece.count)
                guard count > 0 else { break }
                text += piece[..<count]
            }
            return try text.split(separator: UInt8(ascii: "\n")).map { try JSON(Array($0)) }
        }
    }

    private func logging(_ body: @escaping @Sendable (Stand, Lines) async throws -> Void) async throws {
        let folder = try TemporaryFolder("log")
        let path = folder.path + "/log"
        let file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        try #require(file >= 0)
        // Left open: the log's writer may still have it.
        var options = Stand.Options()
        options.log = (.info, file)
        options.slotLimits = (9, 9)
        try await standing(options) { (stand) async throws in try await body(stand, Lines(path: path)) }
    }

    @Test("every request but a probe has one line with its id, its status and its time, and no query")
    func oneLine() async throws {
        try await logging { (stand, lines) async throws in
            stand.control.usage = "{}"
            stand.upstream.script = { call in
                switch call.text.contains(#""stream":true"#) {
                case true: call.stream(Says.whole())
                case false: call.answer(call.text.contains("bad") ? 400 : 200, Says.message())
                }
            }
            var expected: [(id: String?, status: Int, message: String)] = []
            func note(_ headers: HeaderFields, _ status: Int, _ message: String = "request") {
                expected.append((headers["x-request-id"], status, message))
            }
            for isStream in [false, true] {
                let answer = try await stand.ask(stream: isStream)
                _ = try await answer.text()
                note(answer.head.headers, 200, "call")
            }
            let bad = try await stand.post("/v1/messages", #"{"model":"claude-bad","messages":[]}"#)
            note(bad.head.headers, bad.head.status)
            let count = try await stand.post("/v1/messages/count_tokens", #"{"model":"claude-a","messages":[]}"#)
            note(count.head.headers, 200)
            for (method, path, withKey, status) in [
                ("GET", "/v1/models", true, 200), ("GET", "/v1/usage", true, 200), ("GET", "/v1/models", false, 401),
                ("GET", "/nothing?key=secret-in-query", true, 404), ("PUT", "/v1/messages", true, 405),
                ("OPTIONS", "/v1/messages", false, 204),
            ] {
                let answer = try await stand.get(path, method, withKey: withKey)
                #expect(answer.status == status)
                note(answer.headers, status)
            }
            stand.upstream.script = { $0.answer(500, Says.failure()) }
            let failed = try await stand.ask()
            note(failed.head.headers, failed.head.status)
            _ = try await stand.get("/health/live")
            let total = expected.count
            await stand.loop.wait { (try? lines.all().filter { $0["request_id"] != nil }.count >= total + 1) ?? false }
            for (id, status, message) in expected {
                let found = try lines.about(try #require(id)).filter { $0["message"]?.string != "attempt failed" }
                #expect(found.count == 1 && found.first?["message"]?.string == message, "\(found)")
                #expect(found.first?["status"]?.int == status && found.first?["duration_ms"]?.int != nil, "\(found)")
            }
            #expect(try lines.all().allSatisfy { !$0.text.contains("secret-in-query") && !$0.text.contains("/health") })
        }
    }

    @Test("a request of anybody's has a short line, whatever its method and its path")
    func shortLines() async throws {
        try await logging { (stand, lines) async throws in
            // A character of any length is one character.
            let path = "/e" + String(repeating: "\u{301}", count: 2000)
            let method = String(repeating: "X", count: 4000)
            let request = stand.request(method, path, body: [], wire: .http2, withKey: false)
            let answer = try await stand.caller.send(request)
            let id = try #require(answer.head.headers["x-request-id"])
            await stand.loop.wait { (try? !lines.about(id).isEmpty) ?? false }
            let line = try #require(lines.about(id).first)
            #expect(line["status"]?.int == 404)
            #expect(line["method"]?.string == String(repeating: "X", count: 20))
            #expect(line.text.utf8.count < 1000)
        }
    }
}
