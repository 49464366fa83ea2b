import Dialects
import Domain
import Formats
import HTTPMessages
import Providers

/// The first byte of an input chooses a dialect and what is done with the rest.
private struct Choice {
    let dialect: Dialect
    let other: Dialect
    let isStream: Bool
    let rest: [UInt8]

    init?(_ input: [UInt8]) {
        guard let first = input.first else { return nil }
        let all = Dialect.allCases
        dialect = all[Int(first) % all.count]
        other = all[Int(first / 4) % all.count]
        isStream = first & 0x80 != 0
        rest = Array(input.dropFirst())
    }
}

/// A caller's request: what policy reads of it, which conversation it belongs to, and its translations.
enum RequestTarget {
    private static let scope = SessionScope(
        user: UserID(1),
        key: KeyID(2),
        clientIP: "10.0.0.1",
        userAgent: Array("fuzz/1".utf8)
    )

    static func feed(_ input: [UInt8]) {
        guard let choice = Choice(input) else { return }
        let route = CallRoute(choice.dialect, model: choice.dialect == .gemini ? "m" : nil, isStream: choice.isStream)
        let parser = JSONParser()
        let body = choice.rest
        guard (try? parser.outline(body) { try read($0, route) }) != nil else { return }
        let envelope = RequestEnvelope(model: route.model, isStream: choice.isStream)
        for dialect in Dialect.allCases where dialect != choice.dialect {
            guard let translator = Translator(caller: choice.dialect, upstream: dialect),
                let request = try? translator.request(from: body, envelope, parser),
                let upstream = try? translator.upstreamBody(for: request, parser)
            else { continue }
            precondition((try? parser.parse(upstream) { $0.root.isObject }) == true, "what goes upstream is JSON")
        }
    }

    private static func read(_ request: JSONOutline, _ route: CallRoute) throws {
        let summary = try route.dialect.wire.summary(of: request, route)
        let measure = RequestMeasure(of: request, summary, route.dialect)
        precondition((0...request.source.count).contains(measure.textBytes))
        if let range = summary.modelRange { precondition(request.source.indices.contains(range.lowerBound)) }
        let session = SessionReader.session(of: request, route, scope)
        if case .turns(let chain) = session {
            precondition((1...DigestChain.maximumPrefixes).contains(chain.prefixes.count))
        }
    }
}

/// An upstream's answer: its meter, its errors, its translation, its scrubbing.
enum AnswerTarget {
    static func feed(_ input: [UInt8]) {
        guard let choice = Choice(input) else { return }
        let parser = JSONParser()
        let wire = choice.dialect.wire
        let body = choice.rest
        _ = wire.answer(body, parser)
        _ = wire.error(body, parser)
        let meter = wire.makeMeter()
        var events = SSEParser(maximumEventBytes: 4096)
        try? events.feed(body) { event in
            _ = meter.receive(event, parser)
            _ = wire.renaming(event, to: "mine", parser)
        }
        precondition(meter.usage.input >= 0 && meter.usage.output >= 0 && meter.estimatedUsage(input: 7).output >= 0)
        guard choice.dialect != choice.other,
            let translator = Translator(caller: choice.other, upstream: choice.dialect)
        else { return }
        let context = AnswerContext(model: "m", requestID: "r", created: 0, options: NeutralAnswerOptions())
        let stream = translator.stream(context)
        var out: [UInt8] = []
        let half = body.count / 2
        for piece in [body[..<half], body[half...]] {
            piece.withUnsafeBytes { stream.feed($0, parser, into: &out) }
        }
        stream.finish(into: &out)
        precondition(!(stream.hasEnded && stream.hasFailed) && out.count <= 64 * body.count + 65_536)
        if let answer = try? translator.answer(from: body, parser) {
            precondition((try? parser.parse(translator.callerBody(for: answer, context)) { $0.root.isObject }) == true)
        }
        let error = translator.callerError(from: body, status: 500, requestID: "r", parser)
        precondition((try? parser.parse(error) { $0.root.isObject }) == true)
    }
}

/// A refusal's status, fields and body: what it means for the account, and when a limit of it ends.
///
/// The first byte chooses the platform, the second the status; a line of one byte after it is a field's name, by its
/// number in `fields`, and the line behind that its value. What follows an empty line is the body.
enum RefusalTarget {
    private static let statuses = [400, 401, 402, 403, 404, 408, 429, 500, 503, 529]
    private static let fields = [
        "retry-after", "retry-after-ms", "anthropic-ratelimit-unified-status", "anthropic-ratelimit-unified-reset",
        "anthropic-ratelimit-unified-representative-claim", "anthropic-ratelimit-unified-5h-reset",
        "anthropic-ratelimit-unified-5h-utilization", "anthropic-ratelimit-unified-7d_opus-reset",
        "anthropic-ratelimit-unified-7d_opus-status", "anthropic-ratelimit-tokens-reset",
        "anthropic-ratelimit-tokens-remaining", "x-codex-primary-used-percent", "x-codex-primary-reset-at",
        "x-codex-primary-reset-after-seconds", "x-codex-secondary-used-percent", "x-codex-secondary-window-minutes",
        "x-ratelimit-reset-requests", "x-ratelimit-remaining-requests", "date", "content-type",
    ]
    private static let tables: [VerdictTable] = {
        let kinds: [(Platform, AccountType)] = [
            (.anthropic, .apikey), (.anthropic, .oauth), (.anthropic, .bedrock), (.openai, .apikey), (.openai, .oauth),
            (.gemini, .apikey), (.antigravity, .oauth), (.antigravity, .apikey),
        ]
        return kinds.compactMap { platform, type in
            let account = ProviderAccount(
                platform: platform,
                type: type,
                fields: ["base_url": "https://upstream.example", "region": "us-east-1", "project_id": "p"]
            )
            return ProviderRegistry.provider(for: account)?.verdicts
        }
    }()

    static func feed(_ input: [UInt8]) {
        guard input.count >= 2 else { return }
        precondition(tables.count == 8)
        let table = tables[Int(input[0]) % tables.count]
        let status = statuses[Int(input[1]) % statuses.count]
        var headers = HeaderFields()
        var rest = input.dropFirst(2)
        while let number = rest.first, number != UInt8(ascii: "\n") {
            rest = rest.dropFirst()
            let value = rest.prefix { $0 != UInt8(ascii: "\n") }
            rest = rest[value.endIndex...].dropFirst()
            headers.add(fields[Int(number) % fields.count], String(decoding: value, as: UTF8.self))
        }
        let body = Array(rest.dropFirst())
        let now = Timestamp(microseconds: 1_800_000_000_000_000)
        let latest = Timestamp(microseconds: now.microseconds + 8 * 86_400_000_000)
        let answer = UpstreamAnswer(status: status, headers: headers, body: body)
        let context = VerdictContext(now: now, accountType: .oauth, model: "claude-opus-4-5")
        for effect in table.verdict(.refused(answer), context).effects {
            switch effect {
            case .rateLimited(let end, _), .overloaded(let end), .modelLimited(_, let end), .paused(let end, _, _):
                precondition(end > now && end <= latest, "an account would be parked")
            case .error(let error): precondition(error.message.unicodeScalars.count <= 512)
            case .invalidateToken, .countUnauthorized, .countForbidden: break
            }
        }
        _ = table.windows(headers, now: now)
        _ = table.success(headers, context)
        let text = String(decoding: body, as: UTF8.self)
        _ = LeakScrubber.scrub(text, hiding: ["upstream.example"])
        _ = ErrorScrub.body(body, hiding: ["upstream.example"], JSONParser())
    }
}
