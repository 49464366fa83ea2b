package import Crypto
import Domain
import Formats
package import HTTPMessages
package import HTTPServing
package import Postgres
package import Redis
import Snapshots
package import Telemetry

/// An answer of the internal API.
package struct InternalAnswer: Hashable, Sendable {
    package var status: Int
    package var contentType: String
    package var body: [UInt8]

    static func text(_ body: [UInt8]) -> Self {
        Self(status: 200, contentType: "text/plain; charset=utf-8", body: body)
    }
    static func json(_ body: [UInt8]) -> Self { Self(status: 200, contentType: "application/json", body: body) }
    static func refusal(_ status: Int, _ message: StaticString) -> Self {
        Self(status: status, contentType: "text/plain; charset=utf-8", body: Array("\(message)\n".utf8))
    }
}

/// What workers ask the control plane: keys, counters and quotas that Redis does not have, a key's usage, newer tokens;
/// and where they leave usage records while Redis is away.
package final class InternalAPI {
    private static let recordsLimit = 32 << 20
    /// How long a worker's call may wait here for a token.
    private static let tokenTime = Duration.seconds(25)
    /// Records settled in one transaction.
    private static let recordsBatch = 4096

    private let tokens: [Secret]
    private let publisher: SnapshotPublisher
    private let pool: PostgresPool
    private let usage: KeyUsageReader
    private let settlement: RecordSettlement
    private let parser = JSONParser(maximumDepth: 8)
    /// Nil where tokens are not renewed.
    package var refresher: RefreshRunner?
    private let log: Log

    /// - Parameter tokens: any of them lets in; two while one replaces the other.
    package init(
        tokens: [Secret],
        _ publisher: SnapshotPublisher,
        _ pool: PostgresPool,
        _ redis: RedisClient,
        _ settlement: RecordSettlement,
        log: Log
    ) {
        self.tokens = tokens
        self.publisher = publisher
        self.pool = pool
        self.settlement = settlement
        self.log = log
        usage = KeyUsageReader(pool, redis)
    }

    package func handle(_ exchange: ServerExchange) async {
        var body: [UInt8] = []
        var answer: InternalAnswer
        if !isAllowed(exchange.request) {
            // Before the body is read: strangers may not fill memory.
            answer = .refusal(401, "a valid bearer token is needed")
        } else {
            do {
                if exchange.request.method == "POST" {
                    body = try await exchange.collectBody(limit: Self.recordsLimit)
                }
                answer = try await self.answer(exchange.request, body: body)
            } catch RequestBodyError.tooLarge {
                answer = .refusal(413, "too many records at once")
            } catch RequestBodyError.timedOut {
                answer = .refusal(408, "the body did not arrive in time")
            } catch RequestBodyError.malformed {
                answer = .refusal(400, "the body's framing is broken")
            } catch RequestBodyError.callerGone {
                return
            } catch {
                log.warning(
                    "internal call failed",
                    ["path": .text(String(exchange.request.path)), "error": "\(error)"]
                )
                answer = .refusal(503, "not possible now, try again")
            }
        }
        var headers: HeaderFields = ["content-type": answer.contentType, "cache-control": "no-store"]
        if answer.status == 401 { headers.add("www-authenticate", "Bearer") }
        if answer.status == 503 { headers.add("retry-after", "1") }
        exchange.respond(HTTPResponseHead(status: answer.status, headers: headers), body: answer.body)
    }

    /// Compares with every token, each in constant time.
    package func isAllowed(_ request: HTTPRequestHead) -> Bool {
        let given = request.headers.values("authorization")
        guard given.count == 1, given[0].count > 7, given[0].prefix(7).lowercased() == "bearer " else { return false }
        let token = Secret(String(given[0].dropFirst(7)))
        return tokens.reduce(false) { found, known in known == token || found }
    }

    /// - Throws: `RedisError`, `PostgresError`.
    package func answer(_ request: HTTPRequestHead, body: [UInt8]) async throws -> InternalAnswer {
        let path = request.path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard path.count >= 4, path[0].isEmpty, path[1] == "internal", path[2] == "v1" else { return Self.unknown }
        switch (path[3], path.count) {
        case ("keys", 5):
            guard request.method == "GET" else { return Self.notAllowed }
            return try await key(hash: path[4], request)
        case ("keys", 6) where path[5] == "usage":
            guard request.method == "GET" else { return Self.notAllowed }
            guard let id = Int64(path[4]), let found = try await usage.read(KeyID(id)) else { return Self.unknown }
            return .json(found.encoded)
        case ("users", 6) where path[5] == "counters":
            guard request.method == "POST" else { return Self.notAllowed }
            guard let id = Int64(path[4]), id > 0 else { return Self.unknown }
            try await publisher.writeCounters(of: [UserID(id)])
            return .json(Array("{}".utf8))
        case ("accounts", 6) where path[5] == "quota":
            guard request.method == "POST" else { return Self.notAllowed }
            guard let id = Int64(path[4]), id > 0 else { return Self.unknown }
            try await publisher.writeQuotas(of: [AccountID(id)])
            return .json(Array("{}".utf8))
        case ("accounts", 6) where path[5] == "token":
            guard request.method == "POST" else { return Self.notAllowed }
            guard let id = Int64(path[4]), id > 0 else { return Self.unknown }
            guard let codec = codec(for: request) else { return Self.unreadable }
            return try await token(of: AccountID(id), body, codec)
        case ("records", 4):
            guard request.method == "POST" else { return Self.notAllowed }
            return try await settle(body)
        default:
            return Self.unknown
        }
    }

    private static let unknown = InternalAnswer.refusal(404, "there is no such thing")
    private static let notAllowed = InternalAnswer.refusal(405, "not with this method")

    private static let unreadable = InternalAnswer.refusal(406, "this version cannot write that format")

    /// How a worker's answers are written: as it says, else in the current format.
    private func codec(for request: HTTPRequestHead) -> SnapshotCodec? {
        publisher.codec(of: request.headers[SnapshotFormat.field].map { Int($0) ?? -1 } ?? SnapshotFormat.current)
    }

    private func key(hash: String, _ request: HTTPRequestHead) async throws -> InternalAnswer {
        guard let codec = codec(for: request) else { return Self.unreadable }
        let isHash =
            hash.utf8.count == 64 && hash.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        guard isHash, let key = try await publisher.key(hash: hash) else { return Self.unknown }
        return .text(codec.encode(key))
    }

    // MARK: Tokens

    /// The account's credentials, once they are newer than those that a worker found stale.
    ///
    /// 409 means that only a new sign-in helps; 503 perhaps later.
    private func token(
        of account: AccountID,
        _ body: [UInt8],
        _ codec: SnapshotCodec
    ) async throws -> InternalAnswer {
        guard let stale = (try? JSON(body, with: parser))?["stale_version"]?.int64 else {
            return .refusal(400, "the body must have a stale_version")
        }
        guard let refresher else { return .refusal(409, "tokens are not renewed here") }
        let found = SnapshotVersion(stamp: stale)
        let epoch = try await pool.withConnection { try await SnapshotRows.databaseEpoch($0) }
        // From before a restore everything is stale.
        let version = found.epoch < epoch ? 0 : found.revision
        switch await refresher.renew(account, newerThan: version, within: Self.tokenTime) {
        case .fresh:
            return try await publisher.credentials(of: account).map { .text(codec.encode($0)) } ?? Self.unknown
        case .noAccount: return Self.unknown
        case .needsSignIn, .noRefreshToken, .refused, .cannotOpen:
            return .refusal(409, "the account must be signed in again or set right")
        case .unavailable: return .refusal(503, "not possible now, try again")
        }
    }

    // MARK: Records

    /// Settles an array of usage records. Those that are none are put aside and counted as rejected: a worker that kept
    /// sending them would never get rid of the others.
    private func settle(_ body: [UInt8]) async throws -> InternalAnswer {
        var items: [SettlementItem] = []
        var rejected: [(record: [UInt8], reason: String)] = []
        do {
            try parser.parse(body) { document in
                guard document.root.isArray else { throw JSONError.malformed }
                for element in document.root.elements {
                    do throws(SnapshotError) {
                        items.append(SettlementItem(try UsageRecord(element)))
                    } catch {
                        rejected.append((JSON(element).encoded, "\(error)"))
                    }
                }
            }
        } catch is JSONError {
            return .refusal(400, "the body must be a JSON array of usage records")
        }
        let outcome = try await pool.withConnection { connection in
            try await SettlementStore.prepare(connection)
            for (record, reason) in rejected {
                try await settlement.bury(record, reason: reason, connection)
            }
            var outcome = SettlementStore.Outcome()
            for start in stride(from: 0, to: items.count, by: Self.recordsBatch) {
                let batch = items[start..<min(start + Self.recordsBatch, items.count)]
                outcome.add(try await settlement.settle(batch, positions: [], connection))
            }
            return outcome
        }
        var json = JSONWriter()
        json.object {
            $0.member("settled", outcome.new + outcome.corrected)
            $0.member("repeated", outcome.repeated)
            $0.member("rejected", rejected.count + outcome.buried.count)
        }
        return .json(json.bytes)
    }
}
