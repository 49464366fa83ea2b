package import Domain
package import Telemetry

/// What becomes of accounts, counted.
package final class AccountMetrics: Sendable {
    private let registry: MetricsRegistry
    package let switches: Counter
    package let retries: Counter
    package let guardProbes: Counter
    package let halfOpenProbes: Counter
    package let ignoredValues: Counter
    package let tokenQuestions: Counter

    package init(_ registry: MetricsRegistry) {
        self.registry = registry
        switches = registry.counter("tollgate_switches_total", "Calls that went on to another account.")
        retries = registry.counter("tollgate_retries_total", "Calls that were tried again on the same account.")
        func probes(_ kind: String) -> Counter {
            registry.counter(
                "tollgate_account_probes_total",
                "Calls that tried out an account during or after a pause.",
                ["kind": kind]
            )
        }
        guardProbes = probes("brown_out")
        halfOpenProbes = probes("half_open")
        tokenQuestions = registry.counter(
            "tollgate_token_questions_total",
            "Times the control plane was asked for a newer token."
        )
        ignoredValues = registry.counter(
            "tollgate_ignored_upstream_values_total",
            "Times in upstream answers that made no sense and were passed over."
        )
    }

    /// By a constant word: models are not told apart.
    package func set(_ kind: AccountFlag.Kind) {
        registry.counter("tollgate_account_flags_set_total", "Flags set on accounts.", ["flag": kind.word]).add()
    }

    package func cleared(_ kind: AccountFlag.Kind) {
        registry.counter(
            "tollgate_account_flags_cleared_total",
            "Flags of accounts that a success has ended.",
            ["flag": kind.word]
        ).add()
    }

    package func skipped(_ word: String) {
        registry.counter(
            "tollgate_slot_refusals_total",
            "Accounts that refused a call a slot, by reason.",
            ["reason": word]
        ).add()
    }
}
