import ControlKit
import Crypto
import Domain
import Formats
import HTTPServing
import Postgres
import Providers
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

@Suite("Renewal of tokens", .serialized, .enabled(if: canRun, requirement))
struct RefreshTests {
    @Test("a hundred stale calls through two control planes make one renewal, and the new token is published")
    func hundredCalls() async throws {
        try await withTokens { exchange, form, count, tokens in
            #expect(form["refresh_token"] == "rt-\(count - 1)" && form["client_id"] == "client")
            await tokens.world.loop.sleep(.milliseconds(50))
            TokenServer.tokens(exchange, count)
        } _: { tokens in
            let planes = [try tokens.refresher(), try tokens.refresher()]
            let outcomes = try await tokens.together(100) {
                await planes[$0 % 2].runner.renew(tokens.account, newerThan: 1)
            }
            #expect(Set(outcomes) == [.fresh(version: 2)])
            #expect(tokens.server.count == 1)
            #expect(try await tokens.secrets() == ["access_token": "at-1", "refresh_token": "rt-1"])
            let (entry, secrets) = try await tokens.published()
            #expect(SnapshotVersion(stamp: entry.version).revision == 2 && entry.secretsVersion == entry.version)
            #expect(secrets == ["access_token": "at-1", "refresh_token": "rt-1"])
            let end = try #require(entry.expiresAt)
            let record = try await tokens.record()
            #expect(record.refresh.issuedAt.map { end - $0 } ?? .zero > .seconds(3590))
            #expect(record.fields.status == .active && record.revision == 1 || record.revision > 0)
            // The next hundred, one version later.
            _ = try await tokens.together(100) {
                await planes[$0 % 2].runner.renew(tokens.account, newerThan: 2)
            }
            #expect(tokens.server.count == 2)
        }
    }

    @Test("a renewal touches no revision: the configuration is not published again for it")
    func noConfiguration() async throws {
        try await withTokens { exchange, _, count, _ in
            TokenServer.tokens(exchange, count)
        } _: { tokens in
            let plane = try tokens.refresher()
            let before = try await tokens.record()
            #expect(await plane.runner.renew(tokens.account, newerThan: 1) == .fresh(version: 2))
            let after = try await tokens.record()
            #expect(after.revision == before.revision && after.updatedAt == before.updatedAt)
            #expect(try await tokens.world.number("select count(*) as n from outbox") == 0)
        }
    }

    @Test("what was rotated between a worker's snapshot and its 401 is not rotated again")
    func rotatedMeanwhile() async throws {
        try await withTokens { exchange, _, count, _ in
            TokenServer.tokens(exchange, count)
        } _: { tokens in
            let plane = try tokens.refresher()
            #expect(await plane.runner.renew(tokens.account, newerThan: 1) == .fresh(version: 2))
            // Calls that were sent with version 1 come back one by one.
            for _ in 0..<5 { #expect(await plane.runner.renew(tokens.account, newerThan: 1) == .fresh(version: 2)) }
            #expect(tokens.server.count == 1)
            #expect(try await tokens.secrets()["refresh_token"] == "rt-1")
            #expect(try await tokens.record().fields.status == .active)
        }
    }

    @Test("an edit that leaves the tokens alone does not pass for newer tokens")
    func editIsNoRenewal() async throws {
        try await withTokens { exchange, _, count, _ in
            TokenServer.tokens(exchange, count)
        } _: { tokens in
            let record = try await tokens.record()
            let edit = CredentialEdit(
                plain: record.credentials.plain.merging(["base_url": "https://x.example"]) { $1 },
                sealedFields: record.credentials.sealedFields,
                newSecrets: [:]
            )
            let sealed = try tokens.sealing.apply(edit, to: record.credentials, of: tokens.account)
            _ = try await tokens.world.pool.withConnection {
                try await AccountStore.replaceCredentials(
                    of: tokens.account,
                    with: sealed,
                    ifVersion: 1,
                    hasNewSecrets: false,
                    on: $0
                )
            }
            let plane = try tokens.refresher()
            #expect(await plane.runner.renew(tokens.account, newerThan: 1) == .fresh(version: 3))
            #expect(tokens.server.count == 1)
        }
    }

    @Test("an edit during a renewal and the renewal both last")
    func editMeanwhile() async throws {
        try await withTokens { exchange, _, count, tokens in
            let record = try await tokens.record()
            let edit = CredentialEdit(
                plain: record.credentials.plain.merging(["base_url": "https://x.example"]) { $1 },
                sealedFields: record.credentials.sealedFields,
                newSecrets: [:]
            )
            let sealed = try tokens.sealing.apply(edit, to: record.credentials, of: tokens.account)
            _ = try await tokens.world.pool.withConnection {
                try await AccountStore.replaceCredentials(
                    of: tokens.account,
                    with: sealed,
                    ifVersion: record.credentials.version,
                    hasNewSecrets: false,
                    on: $0
                )
            }
            TokenServer.tokens(exchange, count)
        } _: { tokens in
            let plane = try tokens.refresher()
            #expect(await plane.runner.renew(tokens.account, newerThan: 1) == .fresh(version: 3))
            let record = try await tokens.record()
            #expect(record.credentials.plain["base_url"] == "https://x.example")
            #expect(try await tokens.secrets() == ["access_token": "at-1", "refresh_token": "rt-1"])
        }
    }

    @Test("a sign-in during a renewal wins, and its refresh token is not rolled back")
    func signInMeanwhile() async throws {
        try await withTokens { exchange, _, count, tokens in
            try await tokens.overwrite(["access_token": "at-new", "refresh_token": "rt-new"])
            TokenServer.tokens(exchange, count)
        } _: { tokens in
            let plane = try tokens.refresher()
            #expect(await plane.runner.renew(tokens.account, newerThan: 1) == .fresh(version: 2))
            #expect(try await tokens.secrets() == ["access_token": "at-new", "refresh_token": "rt-new"])
            #expect(try await tokens.record().fields.status == .active)
        }
    }

    @Test("invalid_grant because somebody else has rotated the token: theirs is used, and the account is well")
    func invalidGrantRace() async throws {
        try await withTokens { exchange, _, _, tokens in
            try await tokens.overwrite(["access_token": "at-theirs", "refresh_token": "rt-theirs"])
            TokenServer.invalidGrant(exchange)
        } _: { tokens in
            let plane = try tokens.refresher()
            #expect(await plane.runner.renew(tokens.account, newerThan: 1) == .fresh(version: 2))
            let record = try await tokens.record()
            #expect(record.fields.status == .active && !record.refresh.needsSignIn && record.errorMessage == nil)
            #expect(try await tokens.secrets()["refresh_token"] == "rt-theirs")
        }
    }

    @Test("invalid_grant and nobody has rotated: the account is in error, for the workers too, until it is signed in")
    func invalidGrant() async throws {
        try await withTokens { exchange, _, _, _ in
            TokenServer.invalidGrant(exchange)
        } _: { tokens in
            let plane = try tokens.refresher()
            guard case .needsSignIn(let text) = await plane.runner.renew(tokens.account, newerThan: 1) else {
                Issue.record("not in error")
                return
            }
            #expect(text.contains("invalid_grant") && text.contains("Sign in again") && !text.contains("rt-0"))
            let record = try await tokens.record()
            #expect(record.fields.status == .error && record.errorMessage == text && record.refresh.needsSignIn)
            #expect(try await tokens.world.publishedConfig()?.accounts.first?.isActive == false)
            // Nobody asks again, however many calls come back.
            _ = try await tokens.together(20) { _ in await plane.runner.renew(tokens.account, newerThan: 1) }
            try await plane.keeper.run()
            #expect(tokens.server.count == 1)
            // New tokens end it.
            try await tokens.overwrite(["access_token": "at-n", "refresh_token": "rt-n"])
            #expect(try await tokens.record().refresh.needsSignIn == false)
        }
    }

    @Test("a recovered login renews its tokens again; with a refresh token that is still refused it is in error again")
    func recovered() async throws {
        try await withTokens { exchange, _, count, _ in
            if count == 3 { TokenServer.tokens(exchange, count) } else { TokenServer.invalidGrant(exchange) }
        } _: { tokens in
            let plane = try tokens.refresher()
            for round in 1...2 {
                guard case .needsSignIn = await plane.runner.renew(tokens.account, newerThan: 1) else {
                    Issue.record("not in error")
                    return
                }
                #expect(tokens.server.count == round)
                var record = try await tokens.record()
                #expect(record.fields.status == .error && record.refresh.needsSignIn)
                try await tokens.world.run(
                    "update accounts set refresh_failures = 3, refresh_retry_at = now() + interval '1 hour'"
                )
                try await plane.recover(tokens.account)
                record = try await tokens.record()
                #expect(record.fields.status == .active && !record.refresh.needsSignIn)
                #expect(record.refresh.failures == 0 && record.refresh.retryAt == nil)
                let candidates = try await tokens.world.pool.withConnection { try await TokenStore.candidates($0) }
                #expect(candidates.map(\.candidate.account) == [tokens.account])
            }
            #expect(await plane.runner.renew(tokens.account, newerThan: 1) == .fresh(version: 2))
            #expect(try await tokens.published().secrets["access_token"] == "at-3")
        }
    }

    @Test("an admin's wish for newer tokens asks the provider although it has refused the refresh token")
    func askedByAdmin() async throws {
        try await withTokens { exchange, _, count, _ in
            if count == 3 { TokenServer.tokens(exchange, count) } else { TokenServer.invalidGrant(exchange) }
        } _: { tokens in
            let plane = try tokens.refresher()
            _ = await plane.runner.renew(tokens.account, newerThan: 1)
            guard case .needsSignIn = await plane.runner.renew(tokens.account, newerThan: 1, isPatient: true) else {
                Issue.record("not refused")
                return
            }
            #expect(tokens.server.count == 2)
            #expect(await plane.runner.renew(tokens.account, newerThan: 1, isPatient: true) == .fresh(version: 2))
            let record = try await tokens.record()
            #expect(!record.refresh.needsSignIn && record.refresh.error == nil)
            // Its error is ended by a recovery or a test call that succeeds, as any.
            #expect(record.fields.status == .error)
        }
    }

    @Test("a control plane that dies between answer and database leaves the tokens in Redis, sealed, for the next one")
    func diesBeforeWriting() async throws {
        let dying = Dying()
        try await withTokens { exchange, form, count, _ in
            #expect(form["refresh_token"] == "rt-0")
            dying.pool?.close()
            TokenServer.tokens(exchange, count)
        } _: { tokens in
            let first = try tokens.refresher()
            dying.pool = first.pool
            let outcome = await first.runner.renew(tokens.account, newerThan: 1, within: .seconds(5))
            guard case .unavailable = outcome else {
                Issue.record("\(outcome)")
                return
            }
            let noted = try #require(
                try await tokens.world.redis.send(RedisCommand(["GET", "tg:{a1}:rotation"])).text
            )
            #expect(noted.hasPrefix("v1.k1.") && !noted.contains("rt-1"))
            #expect(try await tokens.secrets()["refresh_token"] == "rt-0")
            // Its lease runs out.
            _ = try await tokens.world.redis.send(RedisCommand(["DEL", "tg:{a1}:refresh"]))
            let second = try tokens.refresher()
            #expect(await second.runner.renew(tokens.account, newerThan: 1) == .fresh(version: 2))
            #expect(tokens.server.count == 1)
            #expect(try await tokens.secrets() == ["access_token": "at-1", "refresh_token": "rt-1"])
            #expect(try await tokens.world.redis.send(RedisCommand(["EXISTS", "tg:{a1}:rotation"])).integer == 0)
        }
    }

    private final class Dying: @unchecked Sendable { var pool: PostgresPool? }

    @Test("an answer that is lost on its way is told of, should the token turn out to have been replaced")
    func lostAnswer() async throws {
        try await withTokens { exchange, _, count, _ in
            if count == 1 {
                exchange.cut()
            } else {
                TokenServer.invalidGrant(exchange)
            }
        } _: { tokens in
            let plane = try tokens.refresher()
            let first = await plane.runner.renew(tokens.account, newerThan: 1)
            guard case .unavailable = first else {
                Issue.record("\(first)")
                return
            }
            #expect(try await tokens.record().fields.status == .active)
            guard case .needsSignIn(let text) = await plane.runner.renew(tokens.account, newerThan: 1, isPatient: true)
            else {
                Issue.record("not in error")
                return
            }
            #expect(text.contains("was cut off before its answer was stored"))
        }
    }

    @Test("an endpoint that fails is left alone for a while by calls, not by an admin, and disables nothing")
    func backsOff() async throws {
        try await withTokens { exchange, _, count, _ in
            if count <= 2 {
                TokenServer.answer(exchange, 503, ["error": "server_error"])
            } else {
                TokenServer.tokens(exchange, count)
            }
        } _: { tokens in
            let plane = try tokens.refresher()
            for _ in 0..<5 {
                let outcome = await plane.runner.renew(tokens.account, newerThan: 1)
                guard case .unavailable(let text, let wait) = outcome else {
                    Issue.record("\(outcome)")
                    return
                }
                #expect(text == "503: server_error" && wait > .zero && wait <= .seconds(15))
            }
            #expect(tokens.server.count == 1)
            var record = try await tokens.record()
            #expect(record.fields.status == .active && record.refresh.error == "503: server_error")
            _ = await plane.runner.renew(tokens.account, newerThan: 1, isPatient: true)
            #expect(tokens.server.count == 2)
            #expect(await plane.runner.renew(tokens.account, newerThan: 1, isPatient: true) == .fresh(version: 2))
            record = try await tokens.record()
            #expect(record.refresh.error == nil && record.refresh.failures == 0 && record.refresh.retryAt == nil)
        }
    }

    @Test("a refusal that is not the token's fault disables nothing")
    func invalidClient() async throws {
        try await withTokens { exchange, _, _, _ in
            TokenServer.answer(exchange, 401, ["error": "invalid_client"])
        } _: { tokens in
            let plane = try tokens.refresher()
            let outcome = await plane.runner.renew(tokens.account, newerThan: 1)
            #expect(outcome == .refused("401: invalid_client"))
            #expect(try await tokens.record().fields.status == .active)
        }
    }

    @Test("the background renews what is due, once, though two control planes look through it together")
    func background() async throws {
        try await withTokens { exchange, form, count, tokens in
            await tokens.world.loop.sleep(.milliseconds(20))
            let name = (form["refresh_token"] ?? "").replacing("rt-0-", with: "")
            TokenServer.answer(
                exchange,
                200,
                ["access_token": .string("at-1-\(name)"), "refresh_token": .string("rt-1-\(name)"), "expires_in": 3600]
            )
        } _: { tokens in
            let soon = RFC3339.format(WallClock.microseconds + 30_000_000)
            let late = RFC3339.format(WallClock.microseconds + 90_000_000_000)
            for number in 2...13 {
                let isDue = number <= 9
                try await tokens.add(
                    AccountID(Int64(number)),
                    "a\(number)",
                    secrets: number == 13
                        ? ["access_token": "x"] : ["access_token": "at-0", "refresh_token": "rt-0-\(number)"],
                    plain: ["expires_at": isDue ? soon : late]
                )
            }
            try await tokens.world.run("update accounts set status = 'inactive' where id = 9")
            let planes = [try tokens.refresher(), try tokens.refresher()]
            _ = try await tokens.together(4) { try await planes[$0 % 2].keeper.run() }
            #expect(tokens.server.count == 7)
            for number in 2...8 {
                let id = AccountID(Int64(number))
                #expect(try await tokens.secrets(id)["refresh_token"] == "rt-1-\(number)")
                #expect(try await tokens.published(id).secrets["access_token"] == "at-1-\(number)")
            }
            try await planes[0].keeper.run()
            #expect(tokens.server.count == 7)
        }
    }

    @Test("what failed is tried again in the background when its time has come, however often it failed")
    func backgroundAfterFailure() async throws {
        try await withTokens { exchange, _, count, _ in
            if count <= 2 {
                TokenServer.answer(exchange, 503, ["error": "busy"])
            } else {
                TokenServer.tokens(exchange, count)
            }
        } _: { tokens in
            let plane = try tokens.refresher()
            let soon = RFC3339.format(WallClock.microseconds + 30_000_000)
            try await tokens.world.run(
                "update accounts set credentials_plain = credentials_plain || jsonb_build_object('expires_at', '\(soon)') where id = 1"
            )
            for round in 1...3 {
                try await plane.keeper.run()
                #expect(tokens.server.count == round)
                #expect(try await tokens.record().refresh.failures == (round < 3 ? round : 0))
                // Too early.
                if round < 3 { try await plane.keeper.run() }
                #expect(tokens.server.count == round)
                try await tokens.world.run("update accounts set refresh_retry_at = now() where id = 1")
            }
            #expect(try await tokens.published().secrets["access_token"] == "at-3")
        }
    }

    @Test("an account without a refresh token, or whose secrets do not open, is left as it is")
    func nothingToRenew() async throws {
        try await withTokens { exchange, _, count, _ in
            TokenServer.tokens(exchange, count)
        } _: { tokens in
            try await tokens.add(AccountID(2), "no refresh", secrets: ["access_token": "a"])
            try await tokens.world.run("update accounts set credentials_sealed = 'v1.other.AAAA' where id = 1")
            let plane = try tokens.refresher()
            #expect(await plane.runner.renew(AccountID(2), newerThan: 1) == .noRefreshToken)
            #expect(await plane.runner.renew(AccountID(1), newerThan: 1) == .cannotOpen)
            #expect(await plane.runner.renew(AccountID(99), newerThan: 1) == .noAccount)
            #expect(tokens.server.count == 0)
            #expect(try await tokens.record().fields.status == .active)
        }
    }

    @Test("without Redis nobody is asked, and nothing is lost")
    func redisAway() async throws {
        try await withTokens { exchange, _, count, _ in
            TokenServer.tokens(exchange, count)
        } _: { tokens in
            let plane = try tokens.refresher()
            tokens.world.redis.close()
            guard case .unavailable = await plane.runner.renew(tokens.account, newerThan: 1, within: .seconds(5)) else {
                Issue.record("renewed without a lock")
                return
            }
            #expect(tokens.server.count == 0)
        }
    }
}
