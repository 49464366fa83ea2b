import Bytes
import Domain
import Formats
import HTTPServing
import Reactor
import Snapshots

extension Call {
    /// Hands the call's trace over, once it has ended.
    func keepTrace() {
        let traces = context.traces
        guard traces.isOn else { return }
        let texts = requestID.utf8.count + 6 * summary.model.utf8.count
        let lists = CallTrace.longest(trace.candidates, trace.refusals, trace.attempts)
        traces.keep(requestID, atMost: Self.longestFrame + texts + lists) { writeTrace(to: &$0) }
    }

    /// The trace as one JSON object; times are milliseconds since the call came in, unless they are dates.
    private func writeTrace(to out: inout ByteCursor) {
        let origin = exchange.startedAt
        out.write("{\"request_id\":\"")
        out.write(requestID)
        out.write("\",\"created_at\":\"")
        RFC3339.write(createdAt.microseconds, to: &out)
        out.write("\",\"user_id\":")
        out.write(decimal: key.user.raw)
        out.write(",\"key_id\":")
        out.write(decimal: key.id.raw)
        out.write(",\"group_id\":")
        out.write(decimal: group.id.raw)
        out.write(",\"model\":\"")
        out.write(escaping: summary.model)
        out.write("\",\"dialect\":\"")
        out.write(route.dialect.rawValue)
        out.write("\",\"stream\":")
        out.write(isStreaming ? "true" : "false")
        out.write(list: "candidates", trace.candidates, omitted: trace.omittedCandidates) { $1.write(to: &$0) }
        out.write(list: "refusals", trace.refusals, omitted: trace.omittedRefusals) { $1.write(to: &$0, since: origin) }
        out.write(list: "attempts", trace.attempts, omitted: trace.omittedAttempts) { $1.write(to: &$0, since: origin) }
        out.write(",\"waits\":{\"caller_ms\":")
        out.write(decimal: trace.waitedForCaller.wholeMilliseconds)
        out.write(",\"account_ms\":")
        out.write(decimal: trace.waitedForAccount.wholeMilliseconds)
        out.write("},\"timings\":{\"admitted_ms\":")
        out.write(trace.admittedAt, since: origin)
        out.write(",\"upstream_ms\":")
        out.write(askedUpstreamAt, since: origin)
        out.write(",\"first_content_ms\":")
        out.write(firstContentAt, since: origin)
        out.write(",\"total_ms\":")
        out.write(decimal: origin.elapsed.wholeMilliseconds)
        out.write("},\"outcome\":{\"status\":")
        out.write(trace.bill?.status ?? trace.error?.status ?? exchange.answeredStatus)
        out.write(",\"end\":")
        out.write(word: trace.bill?.end.rawValue)
        out.write(",\"error\":")
        out.write(word: trace.error?.code.rawValue)
        out.write("},\"money\":")
        out.write(trace.bill)
        out.write("}")
    }

    /// Bytes of all but the texts and the entries of lists.
    private static let longestFrame = 1280
}

extension CallTrace {
    /// Bytes of an entry without its texts: three numbers, a date, a word of ours and the names.
    fileprivate static let longestEntry = 288

    /// Bytes of the entries of all lists. It takes these alone: a whole trace would be copied for it.
    fileprivate static func longest(_ candidates: [Candidate], _ refusals: [Refusal], _ attempts: [Attempt]) -> Int {
        let entries = candidates.count + refusals.count + attempts.count
        return attempts.reduce(entries * longestEntry) { $0 + $1.longestTexts }
    }
}

extension ByteCursor {
    fileprivate mutating func write(_ time: MonotonicTime?, since origin: MonotonicTime) {
        if let time { write(decimal: (time - origin).wholeMilliseconds) } else { write("null") }
    }

    fileprivate mutating func write(_ number: Int?) {
        if let number { write(decimal: Int64(number)) } else { write("null") }
    }

    /// A name of ours, which has nothing to escape.
    fileprivate mutating func write(word: String?) {
        guard let word else { return write("null") }
        write("\"")
        write(word)
        write("\"")
    }

    fileprivate mutating func write(_ bill: CallTrace.Bill?) {
        guard let bill else { return write("null") }
        write("{\"cost\":\"")
        Decimal.write(bill.cost.raw, places: 9, to: &self)
        write("\",\"multiplier\":\"")
        Decimal.write(bill.multiplier.raw, places: 4, to: &self)
        write("\",\"account_multiplier\":\"")
        Decimal.write(bill.accountMultiplier.raw, places: 4, to: &self)
        write("\",\"usage_estimated\":")
        write(bill.isEstimated ? "true" : "false")
        write(",\"input_tokens\":")
        write(decimal: bill.usage.input)
        write(",\"output_tokens\":")
        write(decimal: bill.usage.output)
        write("}")
    }
}

extension CallTrace.Candidate {
    fileprivate func write(to out: inout ByteCursor) {
        out.write("\"account_id\":")
        out.write(decimal: account.raw)
        if let standing {
            out.write(",\"priority\":")
            out.write(decimal: Int64(standing.priority))
            out.write(",\"in_flight\":")
            out.write(decimal: Int64(standing.inFlight))
        }
        reason?.write(to: &out)
    }
}

extension CallTrace.Refusal {
    fileprivate func write(to out: inout ByteCursor, since origin: MonotonicTime) {
        out.write("\"account_id\":")
        out.write(decimal: account.raw)
        out.write(",\"at_ms\":")
        out.write(decimal: (at - origin).wholeMilliseconds)
        reason.write(to: &out)
    }
}

extension SkipReason {
    fileprivate func write(to out: inout ByteCursor) {
        out.write(",\"skipped\":")
        out.write(word: word)
        guard let until else { return }
        out.write(",\"until\":\"")
        RFC3339.write(until.microseconds, to: &out)
        out.write("\"")
    }
}

extension CallTrace.Attempt {
    fileprivate func write(to out: inout ByteCursor, since origin: MonotonicTime) {
        out.write("\"account_id\":")
        out.write(decimal: account.raw)
        out.write(",\"upstream_model\":\"")
        out.write(escaping: model)
        out.write("\"")
        if entry != .plain {
            out.write(",\"entry\":")
            out.write(word: entry.rawValue)
        }
        out.write(",\"sticky\":")
        out.write(isSticky ? "true" : "false")
        out.write(",\"at_ms\":")
        out.write(decimal: (startedAt - origin).wholeMilliseconds)
        guard let endedAt else { return out.write(",\"verdict\":\"answered\"") }
        out.write(",\"duration_ms\":")
        out.write(decimal: (endedAt - startedAt).wholeMilliseconds)
        out.write(",\"verdict\":")
        out.write(word: verdict)
        out.write(",\"status\":")
        out.write(status)
        out.write(",\"effects\":[")
        var isFirst = true
        for effect in effects {
            if !isFirst { out.write(",") }
            isFirst = false
            effect.write(to: &out)
        }
        out.write("]")
    }

    fileprivate var longestTexts: Int {
        effects.reduce(6 * model.utf8.count + (verdict?.utf8.count ?? 0)) { $0 + $1.longest }
    }
}

extension AccountEffect {
    fileprivate func write(to out: inout ByteCursor) {
        out.write("{")
        var isFirst = true
        for (name, value) in fields {
            out.write(isFirst ? "\"" : ",\"")
            isFirst = false
            out.write(name)
            out.write("\":\"")
            if name == "until", let time = Int64(value) {
                RFC3339.write(time, to: &out)
            } else {
                out.write(escaping: value)
            }
            out.write("\"")
        }
        out.write("}")
    }

    /// Bytes of what is written.
    fileprivate var longest: Int {
        fields.reduce(3) { $0 + $1.name.utf8.count + max(6 * $1.value.utf8.count, RFC3339.longest) + 6 }
    }
}

extension ByteCursor {
    fileprivate mutating func write<Entry>(
        list name: StaticString,
        _ entries: [Entry],
        omitted: Int,
        _ write: (inout ByteCursor, Entry) -> Void
    ) {
        self.write(",\"")
        self.write(name)
        self.write("\":[")
        var isFirst = true
        for entry in entries {
            self.write(isFirst ? "{" : ",{")
            isFirst = false
            write(&self, entry)
            self.write("}")
        }
        self.write("]")
        guard omitted > 0 else { return }
        self.write(",\"")
        self.write(name)
        self.write("_omitted\":")
        self.write(decimal: Int64(omitted))
    }
}
