import ControlKit
import HTTPFetching
import HTTPMessages
import HTTPServing
import Postgres
import Reactor
import Snapshots
import TestSupport
import Testing

@Suite("Internal API over HTTP", .enabled(if: canRun, requirement))
struct InternalServerTests {
    @Test("answers carry type and length; strangers are refused before their body is read")
    func overHTTP() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            let api = world.internalAPI()
            let server = HTTPServer(world.loop, limits: HTTPServerLimits()) { await api.handle($0) }
            let address = try server.listen(on: try #require(SocketAddress("127.0.0.1:0")))
            let client = try HTTPClient(world.loop)

            func call(_ method: String, _ path: String, token: String?, body: [UInt8] = []) async throws -> (
                head: HTTPResponseHead, body: [UInt8]
            ) {
                var head = HTTPRequestHead(method: method, target: path, headers: ["host": "\(address)"])
                if let token { head.headers.add("authorization", "Bearer \(token)") }
                if !body.isEmpty { head.headers.add("content-length", String(body.count)) }
                let endpoint = Endpoint(isTLS: false, host: "127.0.0.1", port: address.port)
                let response = try await client.send(FetchRequest(to: endpoint, head, body: body))
                return (response.head, try await response.collect(limit: 1 << 20))
            }

            let token = "first-token-0123456789"
            let hash = world.hash("key0")
            let key = try await call("GET", "/internal/v1/keys/\(hash)", token: token)
            #expect(key.head.status == 200)
            #expect(key.head.headers["content-type"] == "text/plain; charset=utf-8")
            #expect(try world.codec.decodeKey(key.body, hash: hash).isActive)

            let stranger = try await call("POST", "/internal/v1/records", token: nil, body: Array("[]".utf8))
            #expect(stranger.head.status == 401)
            #expect(stranger.head.headers["www-authenticate"] == "Bearer")

            let records = Array("[".utf8) + cast.record(1).encoded + Array("]".utf8)
            let settled = try await call("POST", "/internal/v1/records", token: token, body: records)
            #expect(settled.head.headers["content-type"] == "application/json")
            #expect(String(decoding: settled.body, as: UTF8.self) == #"{"settled":1,"repeated":0,"rejected":0}"#)

            world.pool.close()
            let unavailable = try await call("GET", "/internal/v1/keys/\(hash)", token: token)
            #expect(unavailable.head.status == 503)
            #expect(unavailable.head.headers["retry-after"] == "1")
            client.close()
            _ = await server.drain(deadline: .seconds(1))
        }
    }
}
