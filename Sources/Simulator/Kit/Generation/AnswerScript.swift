import Formats
import HTTPMessages

/// Plans the answer to a good request: what is said, how it is cut into events, and where a fault ends it.
struct AnswerScript {
    let turn: Turn
    let words: ControlWords

    /// Plans the answer in a dialect, and caches what the request marks.
    func plan<Writer: AnswerWriter>(
        _ request: GenerationRequest,
        cache: inout PromptCache,
        _ writer: (Answer) -> Writer
    ) -> AnswerPlan {
        let answer = answer(request, cache: &cache)
        return request.isStream ? streamed(answer, writer(answer)) : whole(answer, writer(answer))
    }

    /// What is said, and what it costs.
    private func answer(_ request: GenerationRequest, cache: inout PromptCache) -> Answer {
        let digest = Digest(turn.body).hex
        let content = Generation(answering: request, digest: digest, words: words)
        let now = turn.call.now / 1000
        var usage = request.prompt.usage { cache.holds($0, now: now) }
        for breakpoint in request.prompt.breakpoints {
            cache.store(breakpoint.digest, lasting: breakpoint.lifetime.milliseconds, now: now)
        }
        usage.output = words.outputTokens ?? content.outputTokens
        usage.reasoning = words.reasoningTokens ?? min(content.thinkingTokens, usage.output)
        usage.input = words.inputTokens ?? usage.input
        usage.cacheRead = words.cacheReadTokens ?? usage.cacheRead
        if request.countsCacheWrites { usage.cacheWrite5m = words.cacheWriteTokens ?? usage.cacheWrite5m }
        if !request.prompt.isCachedUnasked {
            usage.cacheWrite1h = words.cacheWrite1hTokens ?? usage.cacheWrite1h
        } else {
            usage.imageInput = words.imageInputTokens ?? 0
            usage.audioInput = words.audioInputTokens ?? 0
            usage.imageOutput = words.imageOutputTokens ?? 0
            usage.audioOutput = words.audioOutputTokens ?? 0
        }
        if request.countsWebSearches { usage.webSearches = words.webSearches ?? 0 }
        return Answer(
            digest: digest,
            model: request.model,
            content: content,
            usage: usage,
            serving: request.serving,
            now: turn.call.now
        )
    }

    // MARK: Whole

    private func whole(_ answer: Answer, _ writer: some AnswerWriter) -> AnswerPlan {
        let fields = writer.fields(isStream: false)
        if case .empty? = words.fault {
            var plan = AnswerPlan(200, fields, body: writer.whole(hasContent: false))
            plan.ending = .empty
            return plan
        }
        let body = writer.whole(hasContent: true)
        var plan = AnswerPlan(200, fields, body: body)
        plan.usage = [(body.count, answer.usage)]
        switch words.fault {
        case .cut: plan.breakOff(at: body.count / 2, .cut, announcing: body.count)
        case .stall: plan.breakOff(at: body.count / 2, .silence, announcing: body.count)
        case .cutClean: plan.breakOff(at: body.count / 2, .cutClean)
        // An answer in one piece has no place for an error event.
        case .errorEvent:
            return writer.errors.fault(
                writer.errors.overloadedStatus,
                variant: "",
                amount: nil,
                model: answer.model
            )
        default: plan.spoil(words.fault)
        }
        return plan
    }

    // MARK: Streamed

    private func streamed(_ answer: Answer, _ writer: some AnswerWriter) -> AnswerPlan {
        let fields = writer.fields(isStream: true)
        if case .empty? = words.fault {
            var plan = AnswerPlan(200, fields, body: writer.stream(textEvents: nil, hasContent: false).bytes)
            plan.framing = .pieces
            plan.ending = .empty
            return plan
        }
        var events = words.events
        if case .hugeEvent? = words.fault { events = 1 }
        let stream = writer.stream(textEvents: events, hasContent: true)
        var plan = AnswerPlan(200, fields, body: stream.bytes)
        plan.framing = .pieces
        plan.usage = stream.usage
        plan.pieces = pieces(of: stream)
        switch words.fault {
        case .cut(let after): plan.breakOff(at: end(of: after, in: stream), .cut)
        case .cutClean(let after): plan.breakOff(at: end(of: after, in: stream), .cutClean)
        case .stall(let after): plan.breakOff(at: end(of: after, in: stream), .silence)
        case .errorEvent(let after):
            let end = end(of: after, in: stream)
            plan.breakOff(at: end, .errorEvent)
            plan.append(writer.errorEvent(in: stream, at: end))
        case .badChecksum(let after) where writer.hasChecksums && !stream.deltas.isEmpty:
            let index = min(after ?? stream.deltas.count / 2, stream.deltas.count - 1)
            let end = stream.deltas[index].upperBound
            plan.breakOff(at: end, .cutClean)
            plan.body[end - 1] ^= 0xff
        default: plan.spoil(words.fault)
        }
        return plan
    }

    /// Where a stream ends that has so many content events; half of them without a number.
    private func end(of count: Int?, in stream: AnswerStream) -> Int {
        let count = min(count ?? stream.deltas.count / 2, stream.deltas.count)
        return count == 0 ? stream.startEnd : stream.deltas[count - 1].upperBound
    }

    /// A piece for each content event, when they are to come one by one. What lies between two of them, the start of
    /// the next block for example, leaves with the first.
    private func pieces(of stream: AnswerStream) -> [AnswerPlan.Piece] {
        guard words.eventDelay != nil || words.contentDelay != nil, let first = stream.deltas.first else { return [] }
        var pieces = first.lowerBound == 0 ? [] : [AnswerPlan.Piece(end: first.lowerBound)]
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
