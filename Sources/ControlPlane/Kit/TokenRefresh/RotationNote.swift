package import Crypto
package import Domain
import Formats
package import Providers
package import Redis
import Snapshots

/// What is noted of a renewal between the moment the endpoint is asked and the moment Postgres has its answer.
///
/// An endpoint that has replaced a refresh token takes the old one no more. Were the answer in one process' memory only,
/// that process' end would sign the account out; so the answer is put into Redis first, sealed, and whoever renews next
/// finds it there.
package struct RotationNote: Sendable {
    /// Long enough for a database that is away over a weekend.
    private static let daysKept: Int64 = 7

    /// SHA-256 of the refresh token that was used.
    package var usedToken: String
    package var startedAt: Timestamp
    /// Nil while the endpoint has not answered, and for ever when its answer was lost.
    package var tokens: TokenSet?

    package init(using token: Secret, at time: Timestamp) {
        usedToken = Self.hash(token)
        startedAt = time
    }

    package func isOf(_ token: Secret) -> Bool { usedToken == Self.hash(token) }

    private static func hash(_ token: Secret) -> String { SHA256.hex(token.reveal()) }
}

/// Keeps the notes, one an account.
package struct RotationNotes {
    private let redis: RedisClient
    private let keys: MasterKeyRing

    package init(_ redis: RedisClient, _ keys: MasterKeyRing) {
        self.redis = redis
        self.keys = keys
    }

    /// Nil when there is none, or none that can be read.
    ///
    /// - Throws: `RedisError`.
    package func read(_ account: AccountID) async throws -> RotationNote? {
        let answer = try await redis.send(RedisCommand(["GET", RedisNames.rotation(of: account)]))
        guard let text = answer.text, let plain = try? SealedBox.open(text, for: Self.context(account), with: keys)
        else {
            return nil
        }
        return (try? JSON(plain)).flatMap { RotationNote($0) }
    }

    /// - Throws: `RedisError`.
    package func write(_ note: RotationNote, _ account: AccountID) async throws {
        let sealed = SealedBox.seal(
            note.json.encoded,
            for: Self.context(account),
            with: keys,
            nonce: SecureRandom.bytes(SealedBox.nonceBytes)
        )
        let seconds = String(RotationNote.secondsKept)
        _ = try await redis.send(RedisCommand(["SET", RedisNames.rotation(of: account), sealed, "EX", seconds]))
    }

    /// Takes a note away. Where Redis does not answer it stays, and whoever finds it sees that its token is not the
    /// present one.
    package func remove(_ account: AccountID) async {
        _ = try? await redis.send(RedisCommand(["DEL", RedisNames.rotation(of: account)]))
    }

    /// Brings a note under the master key that seals, unless it was changed meanwhile.
    ///
    /// - Returns: false when no key opens it, nil when there is nothing to do.
    /// - Throws: `RedisError`.
    package func reseal(_ account: AccountID) async throws -> Bool? {
        let name = RedisNames.rotation(of: account)
        guard let old = try await redis.send(RedisCommand(["GET", name])).text,
            SealedBox.keyID(of: old) != keys.currentID
        else { return nil }
        guard let plain = try? SealedBox.open(old, for: Self.context(account), with: keys) else { return false }
        let nonce = SecureRandom.bytes(SealedBox.nonceBytes)
        let new = SealedBox.seal(plain, for: Self.context(account), with: keys, nonce: nonce)
        return try await redis.run(Self.replaceScript, keys: [name], arguments: [old, new]).integer == 1 ? true : nil
    }

    private static let replaceScript = RedisScript(
        name: "replace_rotation_note",
        source: """
            if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
            redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
            return 1
            """
    )

    private static func context(_ account: AccountID) -> SealingContext {
        .account(account.raw, field: "rotation")
    }
}

extension RotationNote {
    fileprivate static var secondsKept: Int64 { daysKept * 86_400 }

    fileprivate var json: JSON {
        var json: JSON = ["used": .string(usedToken), "started": .int(startedAt.microseconds)]
        guard let tokens else { return json }
        json["access_token"] = .string(tokens.accessToken.reveal())
        if let refresh = tokens.refreshToken { json["refresh_token"] = .string(refresh.reveal()) }
        if let end = tokens.expiresAt { json["expires_at"] = .int(end.microseconds) }
        json["fields"] = .texts(tokens.fields)
        return json
    }

    fileprivate init?(_ json: JSON) {
        guard let used = json["used"]?.string, let started = json["started"]?.int64 else { return nil }
        usedToken = used
        startedAt = Timestamp(microseconds: started)
        guard let access = json["access_token"]?.string else { return }
        let fields = json["fields"]?.object ?? []
        tokens = TokenSet(
            accessToken: Secret(access),
            refreshToken: json["refresh_token"]?.string.map { Secret($0) },
            expiresAt: json["expires_at"]?.int64.map { Timestamp(microseconds: $0) },
            fields: Dictionary(fields.compactMap { field in field.value.string.map { (field.key, $0) } }) { $1 }
        )
    }
}
