package import Crypto
package import Domain
import Formats
import HTTPFetching
import HTTPMessages
package import Postgres
import Providers
package import Reactor
package import Telemetry

/// Asks upstreams how much of their accounts is used: one flight an account, whoever waits for it. Bound to its loop.
package final class UsageProber {
    package struct Pace: Sendable {
        /// Of a flight, from its start to its last answer. It is the flight's own: no caller ends it.
        package var deadline = Duration.seconds(15)
        /// Flights begin so late at most, so that those of many accounts do not begin together.
        package var spread = Duration.milliseconds(800)

        package init() {}
    }

    /// How an account is asked.
    private struct Way {
        let probe: any UsageProbe
        let provider: any Provider
        let account: AccountRecord
    }

    private static let answerLimit = 1 << 20

    private let loop: EventLoop
    private let upstream: UpstreamClient
    private let pool: PostgresPool
    private let keys: MasterKeyRing
    private let sealing: CredentialSealing
    private let log: Log
    private let pace: Pace
    private let now: () -> Timestamp
    private let chance: () -> UInt64
    private var cache = UsageCache()
    private var flights: [UsageCache.Key: [Promise<UsageOutcome>]] = [:]
    /// Flights that have begun to ask.
    package private(set) var asked = 0

    /// - Parameters:
    ///   - now: the time of day.
    ///   - chance: any number; it spreads flights.
    package init(
        _ loop: EventLoop,
        _ upstream: UpstreamClient,
        _ pool: PostgresPool,
        _ keys: MasterKeyRing,
        log: Log,
        pace: Pace = Pace(),
        now: @escaping () -> Timestamp = { Timestamp.now },
        chance: @escaping () -> UInt64 = { UInt64.random(in: .min ... .max) }
    ) {
        self.loop = loop
        self.upstream = upstream
        self.pool = pool
        self.keys = keys
        sealing = CredentialSealing(keys)
        self.log = log
        self.pace = pace
        self.now = now
        self.chance = chance
    }

    /// What the account's upstream says, now or a short while ago; nil where it cannot be asked.
    package func outcome(of account: AccountRecord) async -> UsageOutcome? {
        guard let provider = ProviderRegistry.provider(for: ProviderAccount(account)), let probe = provider.usage else {
            return nil
        }
        let key = UsageCache.Key(account.id, credentials: account.credentials.version)
        if let known = cache.outcome(key, now: now()) { return known }
        let promise = Promise<UsageOutcome>()
        flights[key, default: []].append(promise)
        if flights[key]?.count == 1 {
            loop.spawn { [self] in
                let outcome = await fly(Way(probe: probe, provider: provider, account: account))
                cache.keep(outcome, of: key, now: now())
                for waiter in flights.removeValue(forKey: key) ?? [] { waiter.succeed(outcome) }
            }
        }
        return try? await promise.wait()
    }

    /// What is known of the account no longer holds.
    package func forget(_ account: AccountID) { cache.forget(account) }

    // MARK: One flight

    private func fly(_ way: Way) async -> UsageOutcome {
        let milliseconds =
            UInt64(pace.spread.components.seconds * 1000)
            &+ UInt64(pace.spread.components.attoseconds / 1_000_000_000_000_000)
        await loop.sleep(.milliseconds(Int64(chance() % (milliseconds + 1))))
        do {
            let usage = try await ask(way)
            let at = now()
            await keep(usage, way, at)
            return .answered(usage, at: at)
        } catch {
            log.warning(
                "usage probe failed",
                [
                    "account_id": .integer(way.account.id.raw), "error_code": .text(error.code.rawValue),
                    "error": .text(error.message),
                ]
            )
            return .failed(error, at: now())
        }
    }

    private func ask(_ way: Way) async throws(UsageFailure) -> AccountUsage {
        let account = way.account
        guard let opened = try? sealing.open(account.credentials.sealed, of: account.id),
            let questions = way.probe.questions(opened.mapValues { Secret($0) })
        else { throw UsageFailure(.unauthenticated, "The account has no credentials that can be used.") }
        let proxy = try await proxy(of: account)
        asked += 1
        let replies = questions.map { _ in Promise<UpstreamReply>() }
        for (question, reply) in zip(questions, replies) {
            let target = way.provider.target
            let asked = UpstreamQuestion(
                question.head.method,
                (target.isTLS ? "https://" : "http://") + target.authority + question.head.target,
                headers: question.head.headers,
                body: question.body,
                through: proxy,
                isolation: account.id.raw,
                within: pace.deadline,
                answerLimit: Self.answerLimit
            )
            loop.spawn { [upstream] in
                do {
                    reply.succeed(try await upstream.ask(asked))
                } catch {
                    reply.fail(error)
                }
            }
        }
        var usage = AccountUsage()
        for (question, reply) in zip(questions, replies) {
            do {
                try read(try await Self.value(of: reply), to: question, way, into: &usage)
            } catch  where !question.isEssential {
                log.warning(
                    "part of a usage probe failed",
                    ["account_id": .integer(account.id.raw), "error": .text(error.message)]
                )
            }
        }
        return usage
    }

    private func proxy(of account: AccountRecord) async throws(UsageFailure) -> ProxyServer? {
        do {
            return try await pool.withConnection { [keys] in try await account.proxyServer(keys, on: $0) }
        } catch {
            throw UsageFailure(.networkError, "\(error)")
        }
    }

    private static func value(of reply: Promise<UpstreamReply>) async throws(UsageFailure) -> UpstreamReply {
        do {
            return try await reply.wait()
        } catch let failure as UpstreamFailure {
            throw UsageFailure(.networkError, failure.description)
        } catch {
            throw UsageFailure(.networkError, "No answer.")
        }
    }

    private func read(
        _ reply: UpstreamReply,
        to question: UsageQuestion,
        _ way: Way,
        into usage: inout AccountUsage
    ) throws(UsageFailure) {
        guard (200..<300).contains(reply.status) else {
            let answer = UpstreamAnswer(status: reply.status, headers: reply.headers, body: reply.body)
            throw way.probe.failure(answer, type: way.account.fields.type, now: now())
        }
        guard let json = try? JSON(reply.body),
            way.probe.read(json, to: question.subject, now: now(), into: &usage)
        else { throw UsageFailure(.networkError, "\(reply.status): The answer could not be read.") }
    }

    /// For the time when the upstream does not answer. A database that is away keeps nobody from the figures.
    private func keep(_ usage: AccountUsage, _ way: Way, _ at: Timestamp) async {
        do {
            try await pool.withTransaction { connection in
                try await AccountUsageStore.keep(usage, of: way.account.id, at: at, on: connection)
            }
        } catch {
            log.warning("usage not kept", ["account_id": .integer(way.account.id.raw), "error": "\(error)"])
        }
    }
}

extension ProviderAccount {
    /// The account as its provider sees it, in the control plane.
    package init(_ account: AccountRecord, betaPolicy: BetaPolicy = BetaPolicy()) {
        self.init(
            platform: account.fields.platform,
            type: account.fields.type,
            fields: account.credentials.plain,
            headerOverrides: account.fields.headerOverrides,
            betaPolicy: betaPolicy
        )
    }
}
