import ControlKit
import Domain
import Postgres
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@Suite("Publishing keys", .enabled(if: canRun, requirement))
struct KeyPublishingTests {
    @Test("an older publication does not bring a deleted or rotated key back")
    func lateOlderPublication() async throws {
        try await withWorld { world in
            let writer = SnapshotWriter(world.redis, [world.codec])
            let old = KeySnapshot(
                id: KeyID(1),
                hash: world.hash("old"),
                revision: 7,
                user: UserID(2),
                userRevision: 9,
                group: GroupID(3)
            )
            var rotated = old
            rotated.hash = world.hash("new")
            rotated.revision = 8
            try await writer.publish([.init(old)], isAnnounced: true)
            try await writer.publish([.init(rotated)], isAnnounced: true)
            #expect(try await world.publishedKey("old") == nil)
            #expect(try await world.publishedKey("new") == rotated)
            try await writer.publish([.init(old)], isAnnounced: true)
            #expect(try await world.publishedKey("old") == nil)
            #expect(try await world.publishedKey("new") == rotated)

            var deleted = rotated
            deleted.revision = 9
            try await writer.publish([.init(deleted, isDeleted: true)], isAnnounced: true)
            #expect(try await world.publishedKey("new") == nil)
            try await writer.publish([.init(rotated)], isAnnounced: true)
            #expect(try await world.publishedKey("new") == nil)
            #expect(try await world.revision("k1", in: Partition(of: UserID(2))) == 9)
        }
    }

    @Test("a rotated key's old entry goes, also when the publisher died before it was removed")
    func rotation() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let user = try await world.addUser()
            let key = try await world.addKey("old", of: user, in: group)
            let publisher = world.publisher()
            try await publisher.healNow()
            let ear = try await world.listen()
            try await world.run(
                "update api_keys set key_hash = $1, revision = nextval('revision_seq') where id = $2",
                [.text(world.hash("new")), .integer(key.raw)]
            )
            // The publisher that died had written the entry and raised the revision.
            let revision = try await world.revision(of: key.raw, in: "api_keys")
            _ = try await world.redis.run(
                PublishScripts.raiseKeys,
                keys: [RedisNames.revisions(Partition(of: user))],
                arguments: [key.description, String(revision), user.description, "1", world.hash("new")]
            )
            try await world.outbox("key", key.raw)
            try await publisher.publishCommitted()
            #expect(try await world.publishedKey("old") == nil)
            #expect(try await world.publishedKey("new")?.id == key)
            try await world.wait { ear.heard.contains(.key(hash: world.hash("old"))) }
            ear.close()
        }
    }

    @Test("a deleted key's entry goes, its revision rises, and workers are told")
    func deletedKey() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let user = try await world.addUser()
            let key = try await world.addKey("secret", of: user, in: group)
            let publisher = world.publisher()
            try await publisher.healNow()
            let before = try #require(try await world.publishedKey("secret"))
            let ear = try await world.listen()
            try await world.notifier(publisher).commit(by: .system) { change in
                try await APIKeyStore.delete(key, on: change.connection)
                change.publish(.key(key))
            }
            #expect(try await world.publishedKey("secret") == nil)
            let revision = try #require(try await world.revision("k\(key)", in: Partition(of: user)))
            #expect(revision > before.revision)
            try await world.wait { ear.heard == [.key(hash: world.hash("secret"))] }
            ear.close()
        }
    }

    @Test("a change of a user reaches all of that user's keys before the user's revision rises")
    func userChange() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let user = try await world.addUser()
            for number in 0..<2300 { _ = try await world.addKey("s\(number)", of: user, in: group) }
            let publisher = world.publisher()
            try await publisher.healNow()
            try await world.notifier(publisher).commit(by: .system) { change in
                try await change.connection.execute(
                    "update users set status = 'disabled', revision = nextval('revision_seq') where id = $1",
                    [.integer(user.raw)]
                )
                change.publish(.user(user))
            }
            let revision = try #require(try await world.revision("u\(user)", in: Partition(of: user)))
            for number in 0..<2300 {
                let key = try await world.publishedKey("s\(number)")
                #expect(key?.isUserActive == false)
                #expect(key?.userRevision == revision)
            }
        }
    }
}
