import Glibc
import Reactor
import Service
import TLS
import Telemetry

/// The process: reads the configuration, listens, runs until it is told to stop.
package enum SimulatorProgram {
    /// Does not return. Ends at once on SIGTERM and SIGINT; with status 78 on a faulty configuration, 71 when an
    /// address cannot be bound.
    package static func run() -> Never {
        var reader = ConfigReader(environment: ConfigReader.processEnvironment())
        let config = SimulatorConfig(&reader)
        reader.exitOnFaults()
        let log = Log(service: "simulator")
        do {
            let loop = try EventLoop(name: "simulator")
            let simulator = Simulator(loop)
            if let address = config.address { try listen(simulator, on: address, tls: nil, log) }
            if let secure = config.secure {
                let context = try TLSContext.server(
                    certificateChainFile: secure.certificateFile,
                    privateKeyFile: secure.keyFile,
                    alpn: ["h2", "http/1.1"]
                )
                try listen(simulator, on: secure.address, tls: context, log)
            }
            let signals = [SIGTERM, SIGINT].map { signal in SignalWatcher(loop, signal) { loop.stop() } }
            withExtendedLifetime((simulator, signals)) { loop.run() }
            log.info("simulator stopped")
            log.close()
            exit(0)
        } catch {
            log.error("simulator cannot start", ["error": "\(error)"])
            log.close()
            exit(EX_OSERR)
        }
    }

    private static func listen(
        _ simulator: Simulator,
        on address: SocketAddress,
        tls: TLSContext?,
        _ log: Log
    ) throws {
        let bound = try simulator.listen(on: address, tls: tls)
        log.info("simulator listening", ["address": "\(bound)", "tls": .bool(tls != nil)])
    }
}
