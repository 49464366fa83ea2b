import GatewayKit
import Snapshots
import Testing

@Suite("Whether a worker is ready")
struct ReadinessTests {
    private static var ready: WorkerHealth.State {
        var state = WorkerHealth.State()
        state.isRedisUp = true
        state.isControlPlaneUp = true
        state.isListening = true
        state.version = SnapshotVersion(epoch: 1, revision: 7)
        state.snapshotAgeSeconds = 600
        return state
    }

    private typealias Change = @Sendable (inout WorkerHealth.State) -> Void
    private static let table: [(Change, Int, String)] = [
        ({ _ in }, 200, #"{"status":"ready","snapshot":"1.7","snapshot_age_seconds":600}"#),
        ({ $0.snapshotAgeSeconds = 601 }, 200, #"{"status":"degraded","snapshot":"1.7","snapshot_age_seconds":601}"#),
        ({ $0.isControlPlaneUp = false }, 200, #"{"status":"degraded","snapshot":"1.7","snapshot_age_seconds":600}"#),
        ({ $0.isRedisUp = false }, 503, #"{"status":"down","reason":"redis"}"#),
        ({ $0.version = nil }, 503, #"{"status":"down","reason":"no configuration"}"#),
        ({ $0.isListening = false }, 503, #"{"status":"down","reason":"not listening"}"#),
        ({ $0.isDraining = true }, 503, #"{"status":"draining"}"#),
    ]

    @Test("without Redis or a configuration it is down, with an old one or no control plane degraded", arguments: table)
    private func readiness(change: Change, status: Int, text: String) {
        var state = Self.ready
        change(&state)
        let answer = Probes.readiness(state)
        #expect(answer.status == status && answer.text == text)
    }
}
