package import Crypto
package import Domain
import Formats

/// One API key as a worker enforces it, with what it needs of the key's user.
package struct KeySnapshot: Hashable, Sendable {
    package var id: KeyID
    /// SHA-256 of the key, in lower-case hex.
    package var hash: String
    /// A `SnapshotVersion.stamp`, as are all revisions of entries: the greater one is the newer.
    package var revision: Int64
    package var user: UserID
    package var userRevision: Int64
    package var group: GroupID
    package var isActive: Bool
    package var isUserActive: Bool
    package var expiresAt: Timestamp?
    package var ipWhitelist: [String]
    package var ipBlacklist: [String]
    /// Calls at once; 0 is no limit.
    package var concurrency: Int
    package var userConcurrency: Int
    /// Requests and tokens a minute; 0 is no limit.
    package var rpm: Int
    package var tpm: Int
    package var userRPM: Int
    /// Total USD; nil is no limit.
    package var quota: NanoUSD?
    package var policy: KeyPolicy?
    /// Of the key's user, those that have not ended; a call may be served as of another group than the key's.
    package var subscriptions: [SubscriptionSnapshot]

    package init(
        id: KeyID,
        hash: String,
        revision: Int64,
        user: UserID,
        userRevision: Int64,
        group: GroupID,
        isActive: Bool = true,
        isUserActive: Bool = true,
        expiresAt: Timestamp? = nil,
        ipWhitelist: [String] = [],
        ipBlacklist: [String] = [],
        concurrency: Int = 0,
        userConcurrency: Int = 0,
        rpm: Int = 0,
        tpm: Int = 0,
        userRPM: Int = 0,
        quota: NanoUSD? = nil,
        policy: KeyPolicy? = nil,
        subscriptions: [SubscriptionSnapshot] = []
    ) {
        self.id = id
        self.hash = hash
        self.revision = revision
        self.user = user
        self.userRevision = userRevision
        self.group = group
        self.isActive = isActive
        self.isUserActive = isUserActive
        self.expiresAt = expiresAt
        self.ipWhitelist = ipWhitelist
        self.ipBlacklist = ipBlacklist
        self.concurrency = concurrency
        self.userConcurrency = userConcurrency
        self.rpm = rpm
        self.tpm = tpm
        self.userRPM = userRPM
        self.quota = quota
        self.policy = policy
        self.subscriptions = subscriptions
    }
}

/// A user's right to call through a group, from one time to another.
package struct SubscriptionSnapshot: Hashable, Sendable {
    package var id: SubscriptionID
    package var group: GroupID
    /// Where its windows begin. Whole milliseconds.
    package var startsAt: Timestamp
    package var expiresAt: Timestamp

    package init(id: SubscriptionID, group: GroupID, startsAt: Timestamp, expiresAt: Timestamp) {
        self.id = id
        self.group = group
        self.startsAt = startsAt
        self.expiresAt = expiresAt
    }
}

/// The secrets of one account, sealed; published on their own so that a token refresh republishes nothing else.
package struct CredentialEntry: Hashable, Sendable {
    package var account: AccountID
    /// Grows with every write of the account's credentials (a `SnapshotVersion.stamp`); an older entry never replaces a
    /// newer one.
    package var version: Int64
    /// The version since which the secrets are these: what was refused under it is refused under this one too.
    package var secretsVersion: Int64
    /// When the access token ends, where that is known.
    package var expiresAt: Timestamp?
    /// A JSON object of the secret fields, sealed in the `sealingContext` of the account.
    package var sealed: String

    /// - Parameter secretsVersion: left out, the secrets are new with this version.
    package init(
        account: AccountID,
        version: Int64,
        secretsVersion: Int64? = nil,
        expiresAt: Timestamp? = nil,
        sealed: String
    ) {
        self.account = account
        self.version = version
        self.secretsVersion = secretsVersion ?? version
        self.expiresAt = expiresAt
        self.sealed = sealed
    }

    package static func sealingContext(of account: AccountID) -> SealingContext {
        .account(account.raw, field: "credentials")
    }
}

/// A message on the announcement channel: what has just been published.
package enum Announcement: Hashable, Sendable {
    case config(SnapshotVersion)
    /// A key was created, changed or deleted: forget what is cached under this hash, also that it is unknown.
    case key(hash: String)
    case credentials(AccountID, version: Int64)
    /// Flags of the account have been cleared: hints of them hold no more.
    case flagsCleared(AccountID)
    /// All records of the partition up to this stream id are in Postgres.
    case watermark(Partition, epoch: String, streamID: String)

    package var text: String {
        switch self {
        case .config(let version): "config \(version)"
        case .key(let hash): "key \(hash)"
        case .credentials(let account, let version): "credentials \(account) \(version)"
        case .flagsCleared(let account): "flags_cleared \(account)"
        case .watermark(let partition, let epoch, let id): "watermark \(partition.number) \(epoch) \(id)"
        }
    }

    package init?(_ text: String) {
        let words = text.utf8.split(separator: UInt8(ascii: " ")).map { String(Substring($0)) }
        switch (words.first, words.count) {
        case ("config", 2):
            guard let version = SnapshotVersion(words[1]) else { return nil }
            self = .config(version)
        case ("key", 2):
            self = .key(hash: words[1])
        case ("credentials", 3):
            guard let account = Int64(words[1]), let version = Int64(words[2]) else { return nil }
            self = .credentials(AccountID(account), version: version)
        case ("flags_cleared", 2):
            guard let account = Int64(words[1]) else { return nil }
            self = .flagsCleared(AccountID(account))
        case ("watermark", 4):
            guard let number = Int(words[1]), let partition = Partition(number) else { return nil }
            self = .watermark(partition, epoch: words[2], streamID: words[3])
        default:
            return nil
        }
    }
}

/// The id of an entry of a Redis stream, `milliseconds-sequence`.
package struct StreamID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let milliseconds: UInt64
    package let sequence: UInt64

    package init?(_ text: String) {
        let id = Array(text.utf8).withUnsafeBytes { Self($0) }
        guard let id else { return nil }
        self = id
    }

    package init?(_ text: UnsafeRawBufferPointer) {
        guard let dash = text.place(of: UInt8(ascii: "-")), let milliseconds = Self.number(text, 0..<dash),
            let sequence = Self.number(text, dash + 1..<text.count)
        else { return nil }
        self.milliseconds = milliseconds
        self.sequence = sequence
    }

    private static func number(_ text: UnsafeRawBufferPointer, _ place: Range<Int>) -> UInt64? {
        guard !place.isEmpty else { return nil }
        var value: UInt64 = 0
        for index in place {
            let byte = text[index]
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(byte &- 0x30))
            guard byte &- 0x30 < 10, !overflow, !carry else { return nil }
            value = sum
        }
        return value
    }

    package var description: String { "\(milliseconds)-\(sequence)" }

    /// The smallest one above.
    package var next: Self {
        Self(milliseconds: sequence == .max ? milliseconds &+ 1 : milliseconds, sequence: sequence &+ 1)
    }

    private init(milliseconds: UInt64, sequence: UInt64) {
        self.milliseconds = milliseconds
        self.sequence = sequence
    }

    package static func < (left: Self, right: Self) -> Bool {
        (left.milliseconds, left.sequence) < (right.milliseconds, right.sequence)
    }
}
