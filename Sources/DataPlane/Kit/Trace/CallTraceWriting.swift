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
    private var traceText: [UInt8] {
        let origin = exchange.startedAt
        var json = JSONWriter(capacity: 768)
        json.object { json in
            json.member("request_id", requestID)
            json.member("created_at", time: createdAt.microseconds)
            json.member("user_id", key.user.raw)
            json.member("key_id", key.id.raw)
            json.member("group_id", group.id.raw)
            json.member("model", summary.model)
            json.member("dialect", route.dialect.rawValue)
            json.member("stream", isStreaming)
            json.list("candidates", trace.candidates, omitted: trace.omittedCandidates) { $1.write(to: &$0) }
            json.list("refusals", trace.refusals, omitted: trace.omittedRefusals) { $1.write(to: &$0, since: origin) }
            json.list("attempts", trace.attempts, omitted: trace.omittedAttempts) { $1.write(to: &$0, since: origin) }
            json.key("waits")
            json.object {
                $0.member("caller_ms", trace.waitedForCaller.wholeMilliseconds)
                $0.member("account_ms", trace.waitedForAccount.wholeMilliseconds)
            }
            json.key("timings")
            json.object {
                $0.member("admitted_ms", trace.admittedAt.map { ($0 - origin).wholeMilliseconds })
                $0.member("upstream_ms", askedUpstreamAt.map { ($0 - origin).wholeMilliseconds })
                $0.member("first_content_ms", firstContentAt.map { ($0 - origin).wholeMilliseconds })
                $0.member("total_ms", origin.elapsed.wholeMilliseconds)
            }
            let record = trace.record
            json.key("outcome")
            json.object {
                $0.member("status", record?.status ?? trace.error?.status ?? exchange.answeredStatus)
                $0.member("end", record?.end.rawValue)
                $0.member("error", trace.error?.code.rawValue)
            }
            json.key("money")
            if let record { record.writeMoney(to: &json) } else { json.null() }
        }
        return json.bytes
    }
}

extension UsageRecord {
    fileprivate func writeMoney(to json: inout JSONWriter) {
        json.object {
            $0.member("cost", cost.description)
            $0.member("multiplier", multiplier.description)
            $0.member("account_multiplier", accountMultiplier.description)
            $0.member("usage_estimated", isEstimated)
            $0.member("input_tokens", usage.input)
            $0.member("output_tokens", usage.output)
        }
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
