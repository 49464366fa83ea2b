import Crypto
import Domain
import Formats
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Snapshots
import TestSupport
import Testing

@testable import ControlKit

/// An upstream that answers as it is told to.
final class SmallUpstream {
    private let server: HTTPServer
    private(set) var requests: [HTTPRequestHead] = []
    let address: SocketAddress

    init(_ loop: EventLoop, _ answer: @escaping (ServerExchange) async -> Void) throws {
        var note: (HTTPRequestHead) -> Void = { _ in }
        let server = HTTPServer(loop, limits: HTTPServerLimits()) { exchange in
            note(exchange.request)
            await answer(exchange)
        }
        self.server = server
        address = try server.listen(on: try #require(SocketAddress("127.0.0.1:0")))
        note = { [unowned self] in requests.append($0) }
    }

    func url(_ path: String) -> String { "http://\(address)\(path)" }
    func stop() async { _ = await server.drain(deadline: .zero) }
}

extension AdminAPITests {
    @Suite("The control plane's way to upstreams")
    struct Upstream {
        private func asking(_ body: @escaping @Sendable (EventLoop, UpstreamClient) async throws -> Void) async throws {
            try await onLoop { loop in
                let client = try UpstreamClient(loop)
                defer { client.close() }
                try await body(loop, client)
            }
        }

        private static func failure(_ client: UpstreamClient, _ question: UpstreamQuestion) async -> UpstreamFailure? {
            do throws(UpstreamFailure) {
                _ = try await client.ask(question)
                return nil
            } catch {
                return error
            }
        }

        @Test("path, query, headers and body go out as they are, and the answer comes back")
        func asks() async throws {
            try await asking { loop, client in
                let upstream = try SmallUpstream(loop) { exchange in
                    let body = (try? await exchange.collectBody(limit: 1 << 20)) ?? []
                    exchange.respond(HTTPResponseHead(status: 418, headers: ["x-a": "b"]), body: body.reversed())
                }
                let reply = try await client.ask(
                    UpstreamQuestion(
                        "POST",
                        upstream.url("/a/b/?c=%20d"),
                        headers: ["x-e": "f"],
                        body: Array("body".utf8)
                    )
                )
                #expect(reply.status == 418 && reply.headers["x-a"] == "b")
                #expect(String(decoding: reply.body, as: UTF8.self) == "ydob")
                let seen = try #require(upstream.requests.first)
                #expect(seen.method == "POST" && seen.target == "/a/b/?c=%20d" && seen.headers["x-e"] == "f")
                #expect(seen.headers["host"] == "\(upstream.address)")
                await upstream.stop()
            }
        }

        @Test(
            "what is no http(s) URL or leads to a metadata service is refused before anything is sent",
            arguments: [
                "ftp://example.com/", "file:///etc/passwd", "http://169.254.169.254/latest/meta-data",
                "http://[fe80::1]/", "http://0xa9fea9fe/", "http://metadata.google.internal/",
                "http://u:p@example.com/",
                "http://example.com/#f", "http://example.com/?a#b", "http://example.com/?a b", "",
            ]
        )
        func refusedURLs(_ url: String) async throws {
            try await asking { _, client in
                let failure = await Self.failure(client, UpstreamQuestion("GET", url))
                guard case .refusedURL = failure else {
                    Issue.record("\(String(describing: failure))")
                    return
                }
            }
        }

        @Test("an upstream that hangs ends at the deadline, a long answer at the limit, a cut one as broken")
        func bounds() async throws {
            try await asking { loop, client in
                let isOver = Promise<Void>()
                let upstream = try SmallUpstream(loop) { exchange in
                    switch exchange.request.path {
                    case "/long":
                        exchange.respond(HTTPResponseHead(status: 200), body: [UInt8](repeating: 65, count: 5000))
                    default: try? await isOver.wait()
                    }
                }
                let hang = UpstreamQuestion("GET", upstream.url("/hang"), within: .milliseconds(200))
                #expect(await Self.failure(client, hang) == .timedOut)
                isOver.succeed(())
                let long = UpstreamQuestion("GET", upstream.url("/long"), answerLimit: 4999)
                #expect(await Self.failure(client, long) == .tooLarge)
                await upstream.stop()
                let nobody = try SmallUpstream(loop) { _ in }
                await nobody.stop()
                let gone = await Self.failure(client, UpstreamQuestion("GET", nobody.url("/"), within: .seconds(2)))
                #expect(gone?.isUnsent == true)
            }
        }

        @Test("redirects are answers, not orders")
        func redirects() async throws {
            try await asking { loop, client in
                let upstream = try SmallUpstream(loop) { exchange in
                    exchange.respond(HTTPResponseHead(status: 302, headers: ["location": "/elsewhere"]), body: [])
                }
                #expect(try await client.ask(UpstreamQuestion("GET", upstream.url("/"))).status == 302)
                #expect(upstream.requests.count == 1)
                await upstream.stop()
            }
        }

        @Test("a proxy is tried by a request through it; one that does not work is an answer, not an error")
        func proxyTest() async throws {
            try await withAdmin { admin in
                let upstream = try SmallUpstream(admin.loop) { $0.respond(HTTPResponseHead(status: 204), body: []) }
                let proxy = try TestProxy(admin.loop, .socks5)
                proxy.credentials = ("user", "right")
                func make(_ name: String, _ port: UInt16, _ password: String) async throws -> Int64 {
                    let answer = try await admin.call(
                        "POST",
                        "/admin/proxies",
                        [
                            "name": .string(name), "protocol": "socks5", "host": "127.0.0.1",
                            "port": .int(Int64(port)), "username": "user", "password": .string(password),
                        ]
                    )
                    #expect(answer.status == 201)
                    return answer.id
                }
                let good = try await make("good", proxy.address.port, "right")
                let url: JSON = ["url": .string(upstream.url("/"))]
                let works = try await admin.call("POST", "/admin/proxies/\(good)/test", url)
                #expect(works.status == 200 && works["ok"] == true && works["status"] == 204 && works["error"] == .null)
                #expect(proxy.targets == ["\(upstream.address)"])

                let wrong = try await make("wrong", proxy.address.port, "wrong")
                let refused = try await admin.call("POST", "/admin/proxies/\(wrong)/test", url)
                #expect(refused.status == 200 && refused["ok"] == false && refused["status"] == .null)
                #expect(refused["error"]?.string?.isEmpty == false)
                #expect(!refused.body.text.contains("wrong"))

                let metadata = try await admin.call(
                    "POST",
                    "/admin/proxies/\(good)/test",
                    ["url": "http://169.254.169.254/"]
                )
                #expect(metadata.status == 400 && metadata.faults == ["url"])
                #expect(try await admin.call("POST", "/admin/proxies/99/test", url).status == 404)
                proxy.close()
                await upstream.stop()
            }
        }

        @Test("a proxy whose password no master key opens is refused, and nothing goes out directly")
        func lostPassword() async throws {
            let keys = try MasterKeyRing("old:" + Base64.encode([UInt8](repeating: 1, count: 32)))
            let other = try MasterKeyRing("new:" + Base64.encode([UInt8](repeating: 2, count: 32)))
            var draft = ProxyDraft()
            (draft.host, draft.port) = ("127.0.0.1", 1)
            let sealed = SealedBox.seal(
                Secret("p"),
                for: ProxySnapshot.passwordSealingContext(of: ProxyID(3)),
                with: keys,
                nonce: SecureRandom.bytes(SealedBox.nonceBytes)
            )
            let record = ProxyRecord(
                id: ProxyID(3),
                fields: draft,
                sealedPassword: sealed,
                createdAt: .init(microseconds: 0),
                updatedAt: .init(microseconds: 0)
            )
            #expect(try record.server(keys).password == "p")
            #expect(throws: UpstreamFailure.proxyUnusable) { try record.server(other) }
        }
    }
}
