import CGatewayShims
import Glibc
import Reactor
import Service
import Telemetry

extension Worker {
    /// Reads the configuration, serves until a signal ends it, and drains.
    ///
    /// - Throws: when the worker cannot start. Faults of the configuration end the process with status 78.
    package static func runProcess() throws {
        tg_keep_large_blocks()
        OpenFiles.raiseLimit()
        var reader = ConfigReader(environment: ConfigReader.processEnvironment())
        let config = WorkerConfig(&reader)
        reader.exitOnFaults()
        let log = Log(service: "data-plane", level: config.logLevel)
        let loop = try EventLoop(name: "main")
        nonisolated(unsafe) let worker = try Worker(config, loop, log)
        loop.execute {
            do {
                try worker.start()
            } catch {
                worker.couldNotStart(error)
            }
        }
        loop.run()
        log.close()
        if worker.hasFailed { exit(EXIT_FAILURE) }
    }
}
