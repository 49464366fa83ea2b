import Crypto
import Formats
import HTTPFetching
import HTTPMessages
import Reactor
import TLS
import Telemetry
import TestSupport
import Testing

@testable import SimulatorKit

/// How a simulator is reached.
enum Way: String, CaseIterable, CustomTestStringConvertible {
    case http1 = "HTTP/1.1"
    case h2c
    case http1OverTLS = "HTTP/1.1 over TLS"
    /// As ALPN agrees.
    case h2OverTLS = "h2 over TLS"

    var testDescription: String { rawValue }
    var isTLS: Bool { self == .http1OverTLS || self == .h2OverTLS }
    var isHTTP1: Bool { self == .http1 || self == .http1OverTLS }
    var wire: Endpoint.WireProtocol {
        switch self {
        case .http1, .http1OverTLS: .http1
        case .h2c: .http2
        case .h2OverTLS: .auto
        }
    }
}

/// A simulator on loopback and a client for it, in one loop.
private final class Stand {
    let loop: EventLoop
    let simulator: Simulator
    let client: HTTPClient
    let endpoint: Endpoint

    private let tls: TLSContext?

    init(_ loop: EventLoop, _ way: Way) throws {
        self.loop = loop
        simulator = Simulator(loop)
        let certificates = way.isTLS ? try TestCertificates.shared() : nil
        tls = try certificates.map {
            try TLSContext.server(
                certificateChainFile: $0.server.certificate,
                privateKeyFile: $0.server.key,
                alpn: ["h2", "http/1.1"]
            )
        }
        let address = try simulator.listen(on: #require(SocketAddress("127.0.0.1:0")), tls: tls)
        var options = HTTPClient.Options()
        options.authorityFile = certificates?.authority.certificate
        client = try HTTPClient(loop, options: options)
        endpoint = Endpoint(isTLS: way.isTLS, host: "127.0.0.1", port: address.port, wireProtocol: way.wire)
    }

    func send(_ method: String, _ target: String, _ body: [UInt8] = [], key: String = "k") async throws -> FetchResponse
    {
        let head = HTTPRequestHead(
            method: method,
            target: target,
            headers: ["x-api-key": key, "anthropic-version": "2023-06-01"]
        )
        return try await client.send(FetchRequest(to: endpoint, head, body: body))
    }

    func ask(model: String, stream: Bool = true, key: String = "k") async throws -> FetchResponse {
        try await send("POST", "/v1/messages", Desk.request(model: model, stream: stream).encoded, key: key)
    }

    /// What arrived of a body, and how it ended.
    func body(of response: FetchResponse) async -> (bytes: [UInt8], error: FetchError?) {
        var bytes: [UInt8] = []
        let ended = Promise<FetchError?>()
        response.consume(onData: { bytes.append(contentsOf: $0) }, onEnd: { ended.succeed($0) })
        let error = try? await ended.wait()
        return (bytes, error ?? nil)
    }

    func control(_ method: String, _ path: String, _ body: JSON? = nil) async throws -> JSON {
        let response = try await send(method, "/__sim/\(path)", body?.encoded ?? [])
        return try JSON(await response.collect(limit: 1 << 24))
    }

    /// Waits until the simulator has noticed the end of the last call, and checks how it ended.
    func expectEnd(_ expected: String, _ location: SourceLocation = #_sourceLocation) async throws {
        var end: String?
        for _ in 0..<2000 {
            end = try await control("GET", "requests?bodies=0")["requests"]?.array?.last?["end"]?.string
            if end != nil, end != "open" { break }
            await loop.sleep(.milliseconds(1))
        }
        #expect(end == expected, sourceLocation: location)
    }
}

@Suite("Simulator on sockets", .serialized)
struct SocketTests {
    private func onStand<Value: Sendable>(
        _ wire: Way,
        _ body: @escaping @Sendable (Stand) async throws -> Value
    ) async throws -> Value {
        try await onLoop { loop in
            let stand = try Stand(loop, wire)
            defer { stand.client.close() }
            return try await body(stand)
        }
    }

    @Test(
        "what arrives is what was planned, streamed or whole, chopped or paced",
        arguments: Way.allCases,
        [
            "claude-sim", "claude-sim-e50", "claude-sim-e5-d1", "claude-sim-chop5", "claude-sim-b3000000",
            "claude-sim-hugeevent1", "claude-sim-interim", "claude-sim-interim-e3-l2-fd2",
        ]
    )
    func planned(wire: Way, model: String) async throws {
        let arrived = try await onStand(wire) { stand in
            var bodies: [[UInt8]] = []
            for stream in [false, true] {
                let response = try await stand.ask(model: model, stream: stream)
                #expect(response.head.status == 200)
                bodies.append(try await response.collect(limit: 1 << 24))
            }
            try await stand.expectEnd("complete")
            return bodies
        }
        let desk = Desk()
        for (body, stream) in zip(arrived, [false, true]) {
            #expect(body == desk.ask(model: model, stream: stream).body)
        }
    }

    @Test(
        "every dialect arrives as it was planned, and is recorded and counted",
        arguments: Way.allCases,
        Dialect.allCases
    )
    func dialects(wire: Way, dialect: Dialect) async throws {
        let question = Dialect.Question(model: "claude-sim-i5-o7-e9", isStream: true, hasTools: true)
        let (head, body) = dialect.request(question)
        let (arrived, record, stats) = try await onStand(wire) { stand in
            let response = try await stand.client.send(FetchRequest(to: stand.endpoint, head, body: body))
            #expect(response.head.status == 200)
            let arrived = try await response.collect(limit: 1 << 24)
            try await stand.expectEnd("complete")
            let record = try await stand.control("GET", "requests")["requests"]?[0]
            return (arrived, record, try await stand.control("GET", "stats"))
        }
        let planned = Desk().ask(dialect, question)
        // Only the time of the answer differs.
        func masked(_ bytes: [UInt8]) -> String {
            String(decoding: bytes, as: UTF8.self).replacing(#/"created(_at)?":\d+/#, with: "")
        }
        #expect(masked(arrived) == masked(planned.body))
        #expect(record?["path"]?.string.map { head.target.hasPrefix($0) } == true)
        #expect(record?["credential"] == "sk-sim")
        #expect(record?["model"] == "claude-sim-i5-o7-e9")
        #expect(record?["stream"] == true)
        #expect(record?["body"]?.string == String(decoding: body, as: UTF8.self))
        #expect(stats["by_credential"]?["sk-sim"]?["completed_usage"]?["input_tokens"] == 5)
        #expect(stats["by_credential"]?["sk-sim"]?["completed_usage"]?["output_tokens"] == 7)
    }

    @Test("a signature is good on every protocol", arguments: Way.allCases)
    func signed(wire: Way) async throws {
        try await onStand(wire) { stand in
            let body = Dialect.bedrock.request(Dialect.Question()).body
            var head = HTTPRequestHead(method: "POST", target: "/model/us.anthropic.claude-sim-v1%3A0/invoke")
            head.headers.add("host", "\(stand.endpoint.host):\(stand.endpoint.port)")
            let signer = SigV4Signer(
                credentials: AWSCredentials(accessKeyID: "AKIA", secretAccessKey: Secret("s3cret")),
                region: "eu-west-1",
                service: "bedrock"
            )
            _ = try await stand.control("POST", "credentials", ["aws": ["AKIA": "s3cret"]])
            let added = signer.sign(
                method: head.method,
                path: head.target,
                headers: head.headers.strings.map { ($0.name, $0.value) },
                payloadHash: SHA256.hex(body),
                secondsSinceEpoch: WallClock.microseconds / 1_000_000
            )
            for (name, value) in added { head.headers.add(name, value) }
            let good = try await stand.client.send(FetchRequest(to: stand.endpoint, head, body: body))
            #expect(good.head.status == 200)
            _ = try await good.collect(limit: 1 << 20)
            let bad = try await stand.client.send(FetchRequest(to: stand.endpoint, head, body: body + [0x20]))
            #expect(bad.head.status == 403)
            _ = try await bad.collect(limit: 1 << 20)
        }
    }

    @Test(
        "a broken answer breaks off where it should, and is recorded so",
        arguments: Way.allCases,
        [
            ("cut2", "cut", true), ("cutclean2", "cut_clean", false), ("errevent2", "error_event", false),
            ("empty", "empty", false), ("emptybody", "empty", false), ("garbage", "cut_clean", false),
            ("longlength", "cut", true),
        ]
    )
    func broken(wire: Way, fault: (word: String, end: String, isError: Bool)) async throws {
        let (bytes, isError) = try await onStand(wire) { stand in
            let response = try await stand.ask(model: "claude-sim-e4-\(fault.word)")
            #expect(response.head.status == 200)
            let (bytes, error) = await stand.body(of: response)
            try await stand.expectEnd(fault.end)
            return (bytes, error != nil)
        }
        #expect(isError == fault.isError)
        #expect(bytes == Desk().ask(model: "claude-sim-e4-\(fault.word)", stream: true).body)
    }

    @Test(
        "an answer shorter or longer than announced never passes as whole",
        arguments: Way.allCases,
        [
            "longlength", "shortlength", "cut", "stall",
        ]
    )
    func wrongLength(wire: Way, word: String) async throws {
        let planned = Desk().ask(model: "claude-sim-\(word)")
        let bytes = try await onStand(wire) { stand in
            let response = try await stand.ask(model: "claude-sim-\(word)", stream: false)
            #expect(response.head.status == 200)
            if word == "stall" {
                response.cancel()
                try await stand.expectEnd("client_gone")
                return [UInt8]()
            }
            return await stand.body(of: response).bytes
        }
        let whole = Desk().ask(model: "claude-sim-\(word)-first0").body
        #expect(planned.framing != .whole)
        #expect(bytes.count < whole.count + (word == "longlength" ? 1 : 0))
    }

    @Test("a hanging call has no answer, and ends when its caller leaves", arguments: Way.allCases)
    func hang(wire: Way) async throws {
        try await onStand(wire) { stand in
            var request = FetchRequest(
                to: stand.endpoint,
                HTTPRequestHead(
                    method: "POST",
                    target: "/v1/messages",
                    headers: ["x-api-key": "k", "anthropic-version": "2023-06-01"]
                ),
                body: Desk.request(model: "claude-sim-hang").encoded
            )
            request.timeouts.firstByte = .milliseconds(50)
            await #expect(throws: FetchError.firstByteTimedOut) { _ = try await stand.client.send(request) }
            try await stand.expectEnd("client_gone")
        }
    }

    @Test("a reset call has no answer either", arguments: Way.allCases)
    func reset(wire: Way) async throws {
        try await onStand(wire) { stand in
            await #expect(throws: FetchError.self) { _ = try await stand.ask(model: "claude-sim-reset") }
            try await stand.expectEnd("cut")
        }
    }

    @Test("a caller that leaves a paced stream is recorded with what was sent until then", arguments: Way.allCases)
    func leaves(wire: Way) async throws {
        try await onStand(wire) { stand in
            let response = try await stand.ask(model: "claude-sim-i9-o900-e1000-d3600000")
            response.cancel()
            try await stand.expectEnd("client_gone")
            let stats = try await stand.control("GET", "stats")
            #expect(stats["by_end"]?["client_gone"] == 1)
            #expect(stats["completed"] == 0)
            #expect(stats["usage"]?["input_tokens"] == 9)
            #expect(stats["usage"]?["output_tokens"] == 1)
            #expect(stats["open"] == 0)
        }
    }

    @Test("a reader that stops holds the stream up, and loses nothing when it goes on", arguments: Way.allCases)
    func backPressure(wire: Way) async throws {
        try await onStand(wire) { stand in
            let size = 16 << 20
            let response = try await stand.ask(model: "claude-sim-b\(size)-e1000")
            response.setPaused(true)
            var count = 0
            let ended = Promise<FetchError?>()
            response.consume(onData: { count += $0.count }, onEnd: { ended.succeed($0) })
            let sent = try await stand.settledBytesSent()
            #expect(sent < size)
            response.setPaused(false)
            let error = try await ended.wait()
            #expect(error == nil)
            #expect(count > size)
            try await stand.expectEnd("complete")
        }
    }

    @Test("armed faults strike as often as asked, and the record says so", arguments: Way.allCases)
    func armed(wire: Way) async throws {
        try await onStand(wire) { stand in
            _ = try await stand.control("POST", "faults", ["words": "529", "count": 2, "credential": "a"])
            var statuses: [Int] = []
            for key in ["a", "b", "a", "a"] {
                let response = try await stand.ask(model: "claude-sim", stream: false, key: key)
                statuses.append(response.head.status)
                _ = try await response.collect(limit: 1 << 20)
            }
            #expect(statuses == [529, 200, 529, 200])
            let requests = try await stand.control("GET", "requests?since=1&limit=2")["requests"]?.array ?? []
            #expect(requests.map { $0["credential"] } == ["b", "a"])
            #expect(requests.map { $0["fault"] } == [.null, "529"])
            #expect(requests.map { $0["protocol"] } == Array(repeating: wire.isHTTP1 ? "http/1.1" : "h2", count: 2))
            let stats = try await stand.control("GET", "stats")
            #expect(stats["by_status"] == ["200": 2, "529": 2])
            #expect(stats["by_credential"]?["a"]?["completed"] == 1)
            _ = try await stand.control("DELETE", "requests")
            let cleared = try await stand.control("GET", "stats")
            #expect(cleared["requests"] == 0)
        }
    }

    @Test("a body beyond the limit is answered 413 and recorded without it", arguments: Way.allCases)
    func tooLarge(wire: Way) async throws {
        try await onStand(wire) { stand in
            let body = [UInt8](repeating: UInt8(ascii: " "), count: (32 << 20) + 1)
            // The answer may come before the whole body is taken; then the client may see the connection end instead.
            if let response = try? await stand.send("POST", "/v1/messages", body) {
                #expect(response.head.status == 413)
            }
            let record = try await stand.control("GET", "requests")["requests"]?[0]
            #expect(record?["status"] == 413)
            #expect(record?["body_bytes"] == 0)
        }
    }

    @Test("many calls at once are all answered, and the sums add up", arguments: Way.allCases)
    func many(wire: Way) async throws {
        try await onStand(wire) { stand in
            // A handshake for each costs more than all the rest.
            let count = wire == .http1OverTLS ? 80 : 400
            var left = count
            let done = Promise<Void>()
            for number in 0..<count {
                stand.loop.spawn {
                    let model = number.isMultiple(of: 4) ? "claude-sim-i3-o5-cut" : "claude-sim-i3-o5-e20"
                    if let response = try? await stand.ask(model: model) { _ = await stand.body(of: response) }
                    left -= 1
                    if left == 0 { done.succeed(()) }
                }
            }
            try await done.wait()
            let stats = try await stand.control("GET", "stats")
            #expect(stats["requests"]?.int == count)
            #expect(stats["by_end"]?["complete"]?.int == count * 3 / 4)
            #expect(stats["by_end"]?["cut"]?.int == count / 4)
            #expect(stats["completed_usage"]?["output_tokens"]?.int == count * 3 / 4 * 5)
            #expect(stats["usage"]?["output_tokens"]?.int == count * 3 / 4 * 5 + count / 4)
            #expect(stats["open"] == 0)
        }
    }
}

extension Stand {
    /// Bytes that the simulator has written for the call under way, once they have stopped growing.
    fileprivate func settledBytesSent() async throws -> Int {
        var last = -1
        while simulator.bytesOnTheWay != last {
            last = simulator.bytesOnTheWay
            await loop.sleep(.milliseconds(50))
        }
        return last
    }
}
