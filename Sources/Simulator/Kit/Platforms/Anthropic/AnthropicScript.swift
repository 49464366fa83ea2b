import Formats
import HTTPMessages

/// Plans the answer to a good request: what is said, how it is cut into events, and where a fault ends it.
struct AnthropicScript {
    private let turn: AnthropicTurn
    private let request: AnthropicRequest
    private let words: ControlWords

    init(_ turn: AnthropicTurn, _ request: AnthropicRequest, _ words: ControlWords) {
        self.turn = turn
        self.request = request
        self.words = words
    }

    /// Plans the answer, and caches what the request marks.
    func plan(cache: inout PromptCache) -> AnswerPlan {
        let digest = Digest(turn.body).hex
        let content = AnthropicContent(answering: request, digest: digest, words: words)
        let now = turn.call.now / 1000
        var usage = request.prompt.usage { cache.holds($0, now: now) }
        for breakpoint in request.prompt.breakpoints {
            cache.store(breakpoint.digest, lasting: breakpoint.lifetime.milliseconds, now: now)
        }
        usage.output = words.outputTokens ?? content.outputTokens
        usage.input = words.inputTokens ?? usage.input
        usage.cacheRead = words.cacheReadTokens ?? usage.cacheRead
        usage.cacheWrite5m = words.cacheWriteTokens ?? usage.cacheWrite5m
        usage.cacheWrite1h = words.cacheWrite1hTokens ?? usage.cacheWrite1h
        usage.webSearches = words.webSearches ?? 0
        let message = AnthropicMessage(id: "msg_sim\(digest)", model: request.model, content: content, usage: usage)
        return request.isStream ? streamed(message) : whole(message)
    }

    private func answer(_ body: [UInt8], contentType: String) -> AnswerPlan {
        var fields = turn.headers.fields(contentType: contentType)
        turn.headers.addLimits(to: &fields)
        return AnswerPlan(200, fields, body: body)
    }

    // MARK: Whole

    private func whole(_ message: AnthropicMessage) -> AnswerPlan {
        if case .empty? = words.fault {
            var content = message.content
            content.blocks = []
            let empty = AnthropicMessage(id: message.id, model: message.model, content: content, usage: message.usage)
            var plan = answer(empty.whole(), contentType: "application/json")
            plan.ending = .empty
            return plan
        }
        let body = message.whole()
        var plan = answer(body, contentType: "application/json")
        plan.usage = [(body.count, message.usage)]
        switch words.fault {
        case .cut: plan.breakOff(at: body.count / 2, .cut, announcing: body.count)
        case .stall: plan.breakOff(at: body.count / 2, .silence, announcing: body.count)
        case .cutClean: plan.breakOff(at: body.count / 2, .cutClean)
        // An answer in one piece has no place for an error event.
        case .errorEvent:
            return AnthropicErrors(headers: turn.headers, credential: turn.credential, model: request.model)
                .plan(fault: 529, variant: "", amount: nil)
        default: plan.spoil(words.fault)
        }
        return plan
    }

    // MARK: Streamed

    private func streamed(_ message: AnthropicMessage) -> AnswerPlan {
        if case .empty? = words.fault {
            var plan = answer(message.stream(textEvents: nil, hasContent: false).bytes, contentType: Self.eventStream)
            plan.framing = .pieces
            plan.ending = .empty
            return plan
        }
        var events = words.events
        if case .hugeEvent? = words.fault { events = 1 }
        let stream = message.stream(textEvents: events)
        var plan = answer(stream.bytes, contentType: Self.eventStream)
        plan.framing = .pieces
        plan.usage = [(stream.startEnd, message.firstUsage), (stream.usageEnd, message.usage)]
        plan.pieces = pieces(of: stream)
        switch words.fault {
        case .cut(let after): plan.breakOff(at: end(of: after, in: stream), .cut)
        case .cutClean(let after): plan.breakOff(at: end(of: after, in: stream), .cutClean)
        case .stall(let after): plan.breakOff(at: end(of: after, in: stream), .silence)
        case .errorEvent(let after):
            plan.breakOff(at: end(of: after, in: stream), .errorEvent)
            let errors = AnthropicErrors(headers: turn.headers, credential: turn.credential, model: request.model)
            plan.append(
                Array("event: error\ndata: ".utf8) + errors.body("overloaded_error", "Overloaded") + [0x0a, 0x0a]
            )
        default: plan.spoil(words.fault)
        }
        return plan
    }

    private static let eventStream = "text/event-stream; charset=utf-8"

    /// Where a stream ends that has so many content events; half of them without a number.
    private func end(of count: Int?, in stream: AnthropicMessage.Stream) -> Int {
        let count = min(count ?? stream.deltas.count / 2, stream.deltas.count)
        return count == 0 ? stream.startEnd : stream.deltas[count - 1].upperBound
    }

    /// A piece for each content event, when they are to come one by one. What lies between two of them, the start of
    /// the next block for example, leaves with the first.
    private func pieces(of stream: AnthropicMessage.Stream) -> [AnswerPlan.Piece] {
        guard words.eventDelay != nil || words.contentDelay != nil, let first = stream.deltas.first else { return [] }
        var pieces = [AnswerPlan.Piece(end: first.lowerBound)]
        pieces.reserveCapacity(stream.deltas.count + 1)
        for index in stream.deltas.indices {
            let next = index + 1
            pieces.append(
                AnswerPlan.Piece(
                    delay: .milliseconds((index == 0 ? words.contentDelay : words.eventDelay) ?? 0),
                    end: next < stream.deltas.count ? stream.deltas[next].lowerBound : stream.bytes.count
                )
            )
        }
        return pieces
    }
}
