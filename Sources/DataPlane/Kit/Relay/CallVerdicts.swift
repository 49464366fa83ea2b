import Domain
import HTTPMessages
import HTTPServing
import Providers
import Reactor
import Snapshots
import Telemetry

extension WorkerContext {
    /// What an account's answer is judged by.
    ///
    /// - Parameters:
    ///   - startedAt: when it was asked.
    ///   - credentialVersion: since when the secrets that it was asked with are its own.
    ///   - marks: what is known of its refusals.
    func verdictContext(
        of account: ServingAccount,
        model: String,
        startedAt: Timestamp,
        credentialVersion: Int64,
        carriedCredits: Bool = false,
        _ config: GatewayConfig,
        _ marks: AccountMarks?
    ) -> VerdictContext {
        let now = Timestamp.now
        return VerdictContext(
            now: now,
            startedAt: startedAt,
            accountType: account.snapshot.type,
            rules: account.snapshot.rules,
            model: model,
            carriedCredits: carriedCredits,
            credential: CredentialUse(
                version: credentialVersion,
                currentVersion: credentials.secretsVersion(of: account.id),
                hasRefreshToken: credentials.secret("refresh_token", of: account.id) != nil,
                counted: marks?.unauthorized
            ),
            forbidden: marks?.countedForbidden(now) ?? CountedForbidden(),
            cooldowns: config.snapshot.cooldowns
        )
    }
}

/// What the answers to a call mean for the account that was asked.
extension Call {
    /// - Parameter marks: what is known of the account's refusals.
    func verdictContext(_ attempt: Attempt, _ marks: AccountMarks?) -> VerdictContext {
        context.verdictContext(
            of: attempt.account,
            model: attempt.upstreamModel,
            startedAt: attempt.startedAt,
            credentialVersion: attempt.credentialVersion,
            carriedCredits: grant?.usesCredits ?? false,
            config,
            marks
        )
    }

    /// What ended the attempt, as a verdict. Refusals of credentials are judged by what Redis says was counted by now.
    func judge(_ outcome: UpstreamAnswer.Outcome, _ attempt: Attempt) async -> UpstreamVerdict {
        var marks = grant?.marks
        if case .refused(let answer) = outcome, answer.status == 401 || answer.status == 403 {
            marks = (try? await context.slots.of(attempt.account.id).readMarks()) ?? marks
        }
        var verdict = attempt.account.provider.verdicts.verdict(outcome, verdictContext(attempt, marks))
        if case .refused(let answer) = outcome {
            let words = AccountWords.under(verdict, status: answer.status)
            if await hasSaid(words) { verdict = verdict.quoted }
        }
        for value in verdict.ignored { note(value, attempt) }
        return verdict
    }

    /// Whether one of these words stands in the caller's own request.
    private func hasSaid(_ words: [String]) async -> Bool {
        guard !words.isEmpty else { return false }
        var head: [UInt8] = []
        let request = exchange.request
        head.append(contentsOf: PercentCoding.decodeForm(request.target).utf8)
        request.headers.forEach { _, value in
            head.append(UInt8(ascii: "\n"))
            head.append(contentsOf: value)
        }
        if AccountWords.isSaid(words, in: head) { return true }
        let body = body
        guard body.count > WorkerContext.inlineLimit else { return AccountWords.isSaid(words, in: body) }
        return await context.loop.offload { AccountWords.isSaid(words, in: body) }
    }

    private func note(_ value: IgnoredValue, _ attempt: Attempt) {
        context.accountMetrics.ignoredValues.add()
        context.log.warning(
            "upstream value ignored",
            [
                "request_id": .text(requestID), "account_id": .integer(attempt.account.id.raw),
                "field": .text(value.field), "value": .text(value.value), "fault": .text(value.fault.rawValue),
            ]
        )
    }

    /// Carries out what a verdict says of the account.
    func carryOut(_ verdict: UpstreamVerdict, _ attempt: Attempt) {
        guard !verdict.effects.isEmpty else { return }
        let account = attempt.account
        for case .invalidateToken(let version) in verdict.effects {
            context.tokens.refuse(account.id, version: version)
        }
        let now = Timestamp.now
        context.news.carryOut(
            verdict.effects,
            on: account.id,
            began: grant?.grantedAt ?? attempt.startedAt,
            now: now,
            requestID: requestID,
            verdict: verdict.reason
        )
    }

    /// A success ends what it disproves. An account without marks has nothing to disprove.
    func noteSuccess(_ headers: HeaderFields, _ attempt: Attempt) {
        guard let grant, let marks = grant.marks else { return }
        endProbe(isTaken: true)
        let context = verdictContext(attempt, marks)
        let clears = attempt.account.provider.verdicts.success(headers, context).clears
        let fields = marks.fields(disprovedBy: clears, now: context.now)
        guard !fields.isEmpty else { return }
        self.context.news.clear(fields, of: attempt.account.id, began: grant.grantedAt, requestID: requestID)
    }
}
