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
        traces.keep(requestID, traceText)
    }

    /// The trace as one JSON object; times are milliseconds since the call came in, unless they are dates.
    ///
    /// Every call has one: what all of them have is written in two pieces whose size is known, lists that are mostly
    /// empty one entry at a time.
    private var traceText: [UInt8] {
        let trace = trace
        let origin = exchange.startedAt
        var json = JSONWriter(capacity: Self.usualTrace)
        json.raw(atMost: 320 + requestID.utf8.count + 6 * summary.model.utf8.count) { out in
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
            out.write(isStreaming ? "true," : "false,")
        }
        json.list("candidates", trace.candidates, omitted: trace.omittedCandidates) { $1.write(to: &$0) }
        json.list("refusals", trace.refusals, omitted: trace.omittedRefusals) { $1.write(to: &$0, since: origin) }
        json.list("attempts", trace.attempts, omitted: trace.omittedAttempts) { $1.write(to: &$0, since: origin) }
        json.raw(atMost: 720) { out in
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
        return json.bytes
    }

    /// Bytes of the trace of a call that went well.
    private static let usualTrace = 1024
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
    fileprivate func write(to json: inout JSONWriter) {
        json.object {
            $0.member("account_id", account.raw)
            if let standing {
                $0.member("priority", standing.priority)
                $0.member("in_flight", standing.inFlight)
            }
            reason?.write(to: &$0)
        }
    }
}

extension CallTrace.Refusal {
    fileprivate func write(to json: inout JSONWriter, since origin: MonotonicTime) {
        json.object {
            $0.member("account_id", account.raw)
            $0.member("at_ms", (at - origin).wholeMilliseconds)
            reason.write(to: &$0)
        }
    }
}

extension SkipReason {
    fileprivate func write(to json: inout JSONWriter) {
        json.member("skipped", word)
        if let until { json.member("until", time: until.microseconds) }
    }
}

extension CallTrace.Attempt {
    fileprivate func write(to json: inout JSONWriter, since origin: MonotonicTime) {
        json.object {
            $0.member("account_id", account.raw)
            $0.member("upstream_model", model)
            if entry != .plain { $0.member("entry", entry.rawValue) }
            $0.member("sticky", isSticky)
            $0.member("at_ms", (startedAt - origin).wholeMilliseconds)
            guard let endedAt else { return $0.member("verdict", "answered") }
            $0.member("duration_ms", (endedAt - startedAt).wholeMilliseconds)
            $0.member("verdict", verdict)
            $0.member("status", status)
            $0.key("effects")
            $0.array { for effect in effects { effect.write(to: &$0) } }
        }
    }
}

extension AccountEffect {
    fileprivate func write(to json: inout JSONWriter) {
        json.object { json in
            for (name, value) in fields {
                json.key(name)
                if name == "until", let time = Int64(value) {
                    json.string(RFC3339.format(time))
                } else {
                    json.string(value)
                }
            }
        }
    }
}

extension JSONWriter {
    fileprivate mutating func list<Entry>(
        _ name: StaticString,
        _ entries: [Entry],
        omitted: Int,
        _ write: (inout JSONWriter, Entry) -> Void
    ) {
        key(name)
        array { for entry in entries { write(&$0, entry) } }
        if omitted > 0 {
            key("\(name)_omitted")
            int(omitted)
        }
    }
}
