package import Domain
package import Telemetry

/// The worker's metrics; each cell is looked up once.
package final class GatewayMetrics: Sendable {
    package let registry: MetricsRegistry
    private let answers: [Counter]
    package let inFlight: Gauge
    package let duration: Histogram
    package let firstToken: Histogram
    package let overhead: Histogram
    package let upstream: Histogram
    package let loopDelay: Histogram
    package let accountSlots: Gauge
    package let inputTokens: Counter
    package let outputTokens: Counter
    package let cacheReadTokens: Counter
    package let cacheWriteTokens: Counter
    package let costNanoUSD: Counter
    package let records: Counter
    package let recordRetries: Counter
    package let recordsPosted: Counter
    package let slotWaits: Counter
    package let staleKeys: Counter
    package let keepAlives: Counter
    package let drains: Counter
    package let successes: Counter
    package let bodiesRefused: Counter
    package let eventsRefused: Counter

    private static let verdicts = "tollgate_upstream_verdicts_total"
    private static let verdictsHelp = "Upstream answers by verdict."

    package init(_ registry: MetricsRegistry) {
        self.registry = registry
        answers = ["1xx", "2xx", "3xx", "4xx", "5xx"].map {
            registry.counter("tollgate_requests_total", "Answered requests by status class.", ["status": $0])
        }
        inFlight = registry.gauge("tollgate_requests_in_flight", "Requests being answered.")
        duration = registry.histogram("tollgate_request_duration_seconds", "From the request's first byte to the end.")
        firstToken = registry.histogram("tollgate_first_token_seconds", "From the request's first byte to content.")
        overhead = registry.histogram(
            "tollgate_overhead_seconds",
            "Time before the upstream was asked: authentication, admission, choice."
        )
        upstream = registry.histogram(
            "tollgate_upstream_seconds",
            "From the first request to an upstream to the end of the answer that was billed."
        )
        loopDelay = registry.histogram(
            "tollgate_loop_delay_seconds",
            "How late the timers of the serving loops fire; a sample a second and loop."
        )
        accountSlots = registry.gauge(
            "tollgate_account_slots_in_use",
            "Slots of accounts that this worker's calls hold."
        )
        func tokens(_ kind: String) -> Counter {
            registry.counter("tollgate_tokens_total", "Tokens by class.", ["class": kind])
        }
        inputTokens = tokens("input")
        outputTokens = tokens("output")
        cacheReadTokens = tokens("cache_read")
        cacheWriteTokens = tokens("cache_write")
        costNanoUSD = registry.counter("tollgate_cost_nanousd_total", "Cost of settled calls in nano-USD.")
        records = registry.counter("tollgate_usage_records_total", "Usage records handed to Redis.")
        recordRetries = registry.counter("tollgate_usage_record_retries_total", "Usage records sent again.")
        recordsPosted = registry.counter(
            "tollgate_usage_records_posted_total",
            "Usage records handed to the control plane because Redis could not take them."
        )
        successes = registry.counter(Self.verdicts, Self.verdictsHelp, ["verdict": VerdictReason.success.rawValue])
        func refusals(_ kind: String) -> Counter {
            registry.counter(
                "tollgate_memory_refusals_total",
                "Calls ended because a budget was used up.",
                ["of": kind]
            )
        }
        bodiesRefused = refusals("bodies")
        eventsRefused = refusals("events")
        slotWaits = registry.counter("tollgate_slot_waits_total", "Calls that waited for a slot of an account.")
        staleKeys = registry.counter("tollgate_stale_keys_total", "Admissions that found a newer key in Redis.")
        keepAlives = registry.counter("tollgate_keep_alives_total", "Keep-alives sent into silent streams.")
        drains = registry.counter("tollgate_drains_total", "Answers read to their end after the caller had gone.")
    }

    package func answered(status: Int) { answers[min(max(status / 100, 1), 5) - 1].add() }

    /// One attempt at an upstream, by what its answer meant.
    package func verdict(_ reason: String) {
        registry.counter(Self.verdicts, Self.verdictsHelp, ["verdict": reason]).add()
    }

    package func settled(_ record: UsageRecord) {
        inputTokens.add(Int(clamping: record.usage.input))
        outputTokens.add(Int(clamping: record.usage.output))
        cacheReadTokens.add(Int(clamping: record.usage.cacheRead))
        cacheWriteTokens.add(Int(clamping: record.usage.cacheWrite))
        costNanoUSD.add(Int(clamping: record.cost.raw))
        records.add()
    }
}
