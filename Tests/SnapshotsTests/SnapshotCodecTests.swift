import Domain
import Snapshots
import Testing

@Suite("Published snapshots")
struct SnapshotCodecTests {
    private let codec = SnapshotCodec(SnapshotSigner(key: Array("a key of the test's own".utf8)))

    @Test("a configuration survives the way through its text", arguments: 0..<200)
    func roundTripOfConfig(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let config = random.config()
        #expect(try codec.decodeConfig(codec.encode(config)) == config)
    }

    @Test("beta rules go along, and a text without any has none")
    func betaPolicy() throws {
        var config = Golden.config
        config.betaPolicy = BetaPolicy([
            .init(token: "files-*", action: .block, scope: .oauth, message: "\"no\""), .init(token: "a", action: .pass),
        ])
        #expect(try codec.decodeConfig(codec.encode(config)) == config)
        #expect(!text(codec.encode(Golden.config)).contains("beta_policy"))
    }

    @Test("what verdicts depend on has its defaults in a text without it, and bounds in a text that has it")
    func verdictSettings() throws {
        let plain = try codec.decodeConfig(Array(Golden.configText.utf8))
        #expect(plain.cooldowns == CooldownSettings())
        #expect(plain.accounts.first?.rules == AccountRules())
        let signer = SnapshotSigner(key: Array("a key of the test's own".utf8))
        for (member, path) in [
            (#""pool_retry_count":11"#, "accounts[0].pool_retry_count"),
            (#""custom_error_codes":[99]"#, "accounts[0].custom_error_codes"),
            (
                #""temp_unschedulable_rules":[{"status":600,"keywords":[],"minutes":1}]"#,
                "accounts[0].temp_unschedulable_rules[0].status"
            ),
            (
                #""temp_unschedulable_rules":[{"status":500,"keywords":[],"minutes":0}]"#,
                "accounts[0].temp_unschedulable_rules[0].minutes"
            ),
        ] {
            let payload = Golden.configPayload.replacing(
                #""upstream_protocol":"h2""#,
                with: #""upstream_protocol":"h2",\#(member)"#
            )
            #expect(throws: SnapshotError.invalid(path)) {
                try codec.decodeConfig(signer.sign(Array(payload.utf8), kind: "config"))
            }
        }
        for (member, path) in [
            (#""overload_cooldown":{"enabled":true,"cooldown_minutes":121}"#, "overload_cooldown.cooldown_minutes"),
            (#""rate_limit_cooldown":{"enabled":true,"seconds":0}"#, "rate_limit_cooldown.seconds"),
        ] {
            let payload = Golden.configPayload.replacing(#""settings":{"#, with: #"\#(member),"settings":{"#)
            #expect(throws: SnapshotError.invalid(path)) {
                try codec.decodeConfig(signer.sign(Array(payload.utf8), kind: "config"))
            }
        }
    }

    @Test("a key's snapshot survives the way through its text", arguments: 0..<200)
    func roundTripOfKey(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let key = random.key()
        #expect(try codec.decodeKey(codec.encode(key), hash: key.hash) == key)
    }

    @Test("credentials survive the way through their text", arguments: 0..<50)
    func roundTripOfCredentials(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let entry = random.credentials()
        #expect(try codec.decodeCredentials(codec.encode(entry), account: entry.account) == entry)
    }

    @Test("format 1 keeps its text")
    func golden() {
        #expect(text(codec.encode(Golden.key)) == Golden.keyText)
        #expect(text(codec.encode(Golden.credentials)) == Golden.credentialsText)
        // Settings may be added within a format.
        let known = Golden.configPayload.firstRange(of: ",\"settings\"").map { Golden.configPayload[..<$0.lowerBound] }
        #expect(text(codec.encode(Golden.config)).dropFirst(65).hasPrefix(known ?? "?"))
    }

    @Test("format 1 keeps its meaning")
    func goldenIsRead() throws {
        #expect(try codec.decodeConfig(Array(Golden.configText.utf8)) == Golden.config)
        #expect(try codec.decodeKey(Array(Golden.keyText.utf8), hash: Golden.key.hash) == Golden.key)
        #expect(
            try codec.decodeCredentials(Array(Golden.credentialsText.utf8), account: AccountID(12))
                == Golden.credentials
        )
    }

    @Test("a changed bit anywhere in a text is refused")
    func everyByteIsSigned() {
        let key = codec.encode(Golden.key)
        for place in key.indices {
            for bit in 0..<8 {
                var changed = key
                changed[place] ^= 1 << bit
                #expect(throws: SnapshotError.badSignature) {
                    try codec.decodeKey(changed, hash: Golden.key.hash)
                }
            }
        }
    }

    @Test("a text cut anywhere, or with something behind it, is refused")
    func lengthIsSigned() {
        let text = codec.encode(Golden.credentials)
        for count in 0..<text.count {
            #expect(throws: SnapshotError.badSignature) {
                try codec.decodeCredentials(Array(text.prefix(count)), account: AccountID(12))
            }
        }
        #expect(throws: SnapshotError.badSignature) {
            try codec.decodeCredentials(text + Array(" ".utf8), account: AccountID(12))
        }
    }

    @Test("an entry does not stand for another subject or kind, nor under another key")
    func signatureBindsThePlace() {
        let key = codec.encode(Golden.key)
        #expect(throws: SnapshotError.badSignature) { try codec.decodeKey(key, hash: "another") }
        #expect(throws: SnapshotError.badSignature) { try codec.decodeConfig(key) }
        #expect(throws: SnapshotError.badSignature) {
            try codec.decodeCredentials(codec.encode(Golden.credentials), account: AccountID(13))
        }
        let stranger = SnapshotCodec(SnapshotSigner(key: Array("another key".utf8)))
        #expect(throws: SnapshotError.badSignature) { try stranger.decodeKey(key, hash: Golden.key.hash) }
    }

    @Test(
        "a fault in a signed text is named",
        arguments: [
            ("not json", SnapshotError.notJSON),
            ("[]", .notJSON),
            ("{}", .unknownFormat(nil)),
            (#"{"format":"1"}"#, .unknownFormat(nil)),
            (#"{"format":2,"revision":1}"#, .unknownFormat(2)),
            (#"{"format":1}"#, .missing("version")),
            (#"{"format":1,"version":1.5}"#, .missing("version")),
            (#"{"format":1,"version":"1"}"#, .missing("version")),
            (#"{"format":1,"version":-1}"#, .invalid("version")),
            (#"{"format":1,"version":99999999999999999999}"#, .missing("version")),
            (#"{"format":1,"version":3}"#, .missing("sealed")),
            (#"{"format":1,"version":3,"sealed":null}"#, .missing("sealed")),
            (#"{"format":1,"version":3,"sealed":"a\u0000b"}"#, .invalid("sealed")),
        ]
    )
    func faults(payload: String, error: SnapshotError) {
        let signer = SnapshotSigner(key: Array("a key of the test's own".utf8))
        let text = signer.sign(Array(payload.utf8), kind: "credentials:12")
        #expect(throws: error) { try codec.decodeCredentials(text, account: AccountID(12)) }
    }

    @Test("a fault deep inside names its path")
    func deepFault() {
        let signer = SnapshotSigner(key: Array("a key of the test's own".utf8))
        let payload = Golden.configPayload.replacing(#""port":1080"#, with: #""port":70000"#)
        #expect(throws: SnapshotError.invalid("accounts[0].proxy.port")) {
            try codec.decodeConfig(signer.sign(Array(payload.utf8), kind: "config"))
        }
    }

    @Test("fields of a later build are passed over")
    func unknownFields() throws {
        let signer = SnapshotSigner(key: Array("a key of the test's own".utf8))
        let payload = Golden.configPayload
            .replacing(#""settings":{"#, with: #""settings":{"later":12,"#)
            .replacing(#""groups":[{"#, with: #""more":[{}],"groups":[{"extra":{"a":[1]},"#)
        #expect(try codec.decodeConfig(signer.sign(Array(payload.utf8), kind: "config")) == Golden.config)
    }

    @Test("a version's stamp orders as the version does", arguments: [(1, 2, 1, 3), (1, 999_999_999_999, 2, 0)])
    func stamps(epoch: Int64, revision: Int64, laterEpoch: Int64, laterRevision: Int64) {
        let earlier = SnapshotVersion(epoch: epoch, revision: revision)
        let later = SnapshotVersion(epoch: laterEpoch, revision: laterRevision)
        #expect(earlier < later)
        #expect(earlier.stamp < later.stamp)
        #expect(SnapshotVersion(stamp: later.stamp) == later)
        #expect(later.stamp < 1 << 53)
    }

    @Test(
        "announcements survive the way through their text",
        arguments: [
            Announcement.config(SnapshotVersion(epoch: 1, revision: 42)),
            .key(hash: "abc"),
            .credentials(AccountID(7), version: 9),
            .watermark(Partition(of: UserID(63)), epoch: "e1", streamID: "1-0"),
        ]
    )
    func announcements(announcement: Announcement) {
        #expect(Announcement(announcement.text) == announcement)
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
