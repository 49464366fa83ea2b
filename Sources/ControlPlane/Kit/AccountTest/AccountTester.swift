import Crypto
import Decisions
import Dialects
import Domain
import Formats
import HTTPFetching
import HTTPMessages
import Postgres
import Providers
import Reactor
import Telemetry

/// Makes a real small call with an account, the way a worker would, and tells how it goes.
///
/// Events: `step` (`credentials`, `request`, `answer`), `text` for each piece of the answer, and in the end `end` or
/// `error`.
struct AccountTester {
    private static let prompt = "Say hello in one word."
    /// Enough for a word of models that do not think before.
    private static let mostTokens: Int64 = 64
    private static let deadline = Duration.seconds(60)
    private static let errorLimit = 256 * 1024
    private static let answerLimit = 4 << 20

    private let context: AdminContext
    private let account: AccountRecord
    private let provider: any Provider
    /// As a caller would name it.
    private let model: String
    private let author: ChangeAuthor
    private let events: EventStream
    private let health: AccountHealth

    init(
        _ context: AdminContext,
        _ account: AccountRecord,
        _ provider: any Provider,
        model: String,
        by author: ChangeAuthor,
        _ events: EventStream
    ) {
        self.context = context
        self.account = account
        self.provider = provider
        self.model = model
        self.author = author
        self.events = events
        health = AccountHealth(context.changes)
    }

    private var now: Timestamp { .now }

    /// What ends a test early.
    private struct Failure: Error {
        var message: String
        var status: Int?
        /// The credentials were refused.
        var isRefusal = false

        init(_ message: String, status: Int? = nil, isRefusal: Bool = false) {
            self.message = message
            self.status = status
            self.isRefusal = isRefusal
        }
    }

    func run() async {
        let started = MonotonicTime.now
        do {
            try await call(since: started)
            let isRecovered = (try? await health.recover(account.id, by: author)) ?? false
            context.usage.forget(account.id)
            events.send(
                "end",
                [
                    (key: "success", value: true), (key: "milliseconds", value: Self.milliseconds(since: started)),
                    (key: "recovered", value: .bool(isRecovered)),
                ]
            )
        } catch {
            var isMarked = false
            if error.isRefusal {
                isMarked = (try? await health.markRefused(account, error.message, by: author)) ?? false
                context.usage.forget(account.id)
            }
            events.send(
                "error",
                [
                    (key: "success", value: false), (key: "message", value: .string(error.message)),
                    (key: "status", value: error.status.map { .int(Int64($0)) } ?? .null),
                    (key: "milliseconds", value: Self.milliseconds(since: started)),
                    (key: "marked_error", value: .bool(isMarked)),
                ]
            )
        }
    }

    private static func milliseconds(since started: MonotonicTime) -> JSON {
        .int(started.elapsed.nanoseconds / 1_000_000)
    }

    // MARK: The call

    private func call(since started: MonotonicTime) async throws(Failure) {
        let secrets = try secrets()
        let proxy = try await proxy()
        events.send("step", [(key: "step", value: "credentials")])

        let (request, dialect) = try request(secrets)
        events.send(
            "step",
            [
                (key: "step", value: "request"), (key: "model", value: .string(model)),
                (key: "host", value: .string(provider.target.authority)), (key: "proxy", value: .bool(proxy != nil)),
            ]
        )
        let target = provider.target
        let question = UpstreamQuestion(
            request.head.method,
            (target.isTLS ? "https://" : "http://") + target.authority + request.head.target,
            headers: request.head.headers,
            body: request.body,
            through: proxy,
            isolation: account.id.raw,
            within: Self.deadline
        )
        let response: FetchResponse
        do throws(UpstreamFailure) {
            response = try await context.upstream.open(question)
        } catch {
            throw Failure(error.description)
        }
        events.send(
            "step",
            [
                (key: "step", value: "answer"), (key: "status", value: .int(Int64(response.head.status))),
                (key: "milliseconds", value: Self.milliseconds(since: started)),
            ]
        )
        guard (200..<300).contains(response.head.status) else { throw await refusal(response) }
        guard request.form.isStream(response.head.headers) else {
            response.cancel()
            throw Failure("The answer is not the stream that was asked for.", status: response.head.status)
        }
        try await read(response, dialect, request.form)
    }

    private func secrets() throws(Failure) -> [String: Secret] {
        guard
            let opened = try? CredentialSealing(context.masterKeys).open(account.credentials.sealed, of: account.id)
        else { throw Failure("The credentials do not open with the present master keys.") }
        return opened.mapValues { Secret($0) }
    }

    private func proxy() async throws(Failure) -> ProxyServer? {
        do {
            return try await context.pool.withConnection { try await account.proxyServer(context.masterKeys, on: $0) }
        } catch {
            throw Failure("\(error)")
        }
    }

    private func request(_ secrets: [String: Secret]) throws(Failure) -> (UpstreamRequest, Dialect) {
        let mapped = ModelMapping(account.fields.modelMapping).upstreamModel(for: model) ?? model
        guard let dialect = provider.dialect(for: CallRoute(.openaiChat), model: mapped),
            let codec = DialectRegistry.codec(of: dialect)
        else { throw Failure("The account's upstream has no such calls.") }
        var neutral = NeutralRequest(model: provider.upstreamName(of: mapped))
        neutral.messages = [NeutralMessage(.user, [.text(Self.prompt)])]
        neutral.maxTokens = Self.mostTokens
        neutral.isStream = true
        do {
            let call = UpstreamCall(
                dialect: dialect,
                isStream: true,
                model: neutral.model,
                body: try codec.encodeRequest(neutral, JSONParser()),
                isTranslated: true,
                secrets: secrets,
                now: now
            )
            if let request = try provider.request(for: call) { return (request, dialect) }
        } catch {
            throw Failure("The request cannot be written: \(error)")
        }
        throw Failure("The account lacks a credential.")
    }

    private func refusal(_ response: FetchResponse) async -> Failure {
        let status = response.head.status
        let body = (try? await response.collect(limit: Self.errorLimit)) ?? []
        let answer = UpstreamAnswer(status: status, headers: response.head.headers, body: body)
        let verdict = provider.verdicts.verdict(
            .refused(answer),
            VerdictContext(now: now, accountType: account.fields.type, model: model)
        )
        // Some say 401 in other words.
        let isRefusal = status == 401 || [.credentialRejected, .credentialRevoked].contains(verdict.reason)
        return Failure(answer.keptText, status: status, isRefusal: isRefusal)
    }

    private func read(_ response: FetchResponse, _ dialect: Dialect, _ form: AnswerForm) async throws(Failure) {
        let status = response.head.status
        guard
            let answer = TestAnswer(dialect, form, onText: { events.send("text", [(key: "text", value: .string($0))]) })
        else { throw Failure("The answer cannot be read.", status: status) }
        let end = Promise<FetchError?>()
        var count = 0
        events.onCallerGone = {
            response.cancel()
            end.succeed(.cancelled)
        }
        response.consume(
            onData: { bytes in
                count += bytes.count
                answer.feed(bytes)
                guard answer.fault != nil || count > Self.answerLimit else { return }
                response.cancel()
                end.succeed(nil)
            },
            onEnd: { end.succeed($0) }
        )
        let error = try? await end.wait()
        events.onCallerGone = nil
        if let error = error ?? nil { throw Failure(UpstreamFailure(error).description, status: status) }
        answer.finish()
        if let fault = answer.fault { throw Failure(fault, status: status) }
    }
}
