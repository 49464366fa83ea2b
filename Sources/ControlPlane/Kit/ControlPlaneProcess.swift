import Glibc
import Reactor
import Service
import Telemetry

/// The process: reads the configuration, serves until a signal ends it, and drains.
package enum ControlPlaneProcess {
    /// Does not return. Ends with 0 after SIGTERM or SIGINT, 78 on a faulty configuration, 1 when it cannot start.
    package static func run() -> Never {
        var reader = ConfigReader(environment: ConfigReader.processEnvironment())
        let config = ControlPlaneConfig(&reader)
        reader.exitOnFaults()
        OpenFiles.raiseLimit()
        let log = Log(service: "control-plane", level: config.logLevel)
        var status: Int32 = 0
        do {
            let loop = try EventLoop(name: "control")
            let outcome = Outcome()
            loop.execute { start(config, loop, log, outcome) }
            loop.run()
            status = outcome.status
        } catch {
            log.error("control plane cannot start", ["error": "\(error)"])
            status = EX_OSERR
        }
        log.close()
        exit(status)
    }

    /// Lives as long as the loop runs; touched on its thread only, and read when it has ended.
    private final class Outcome: @unchecked Sendable {
        var status: Int32 = 0
        var plane: ControlPlane?
        var signals: [SignalWatcher] = []
    }

    private static func start(_ config: ControlPlaneConfig, _ loop: EventLoop, _ log: Log, _ outcome: Outcome) {
        let plane = ControlPlane(config, loop, log)
        outcome.plane = plane
        outcome.signals = [SIGTERM, SIGINT].map { signal in
            SignalWatcher(loop, signal) {
                loop.spawn {
                    await plane.stop()
                    loop.stop()
                }
            }
        }
        loop.spawn {
            do {
                try await plane.start()
            } catch {
                log.error("control plane cannot start", ["error": "\(error)"])
                outcome.status = 1
                loop.stop()
            }
        }
    }
}
