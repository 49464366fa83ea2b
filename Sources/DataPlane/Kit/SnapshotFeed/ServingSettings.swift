import Snapshots

/// The setting `gateway` as every call reads it, looked up by name once.
package struct ServingSettings: Sendable {
    package let bodyLimit: Int
    package let connectTimeout: Duration
    package let firstByteTimeout: Duration
    package let idleTimeout: Duration
    package let totalTimeout: Duration
    package let failoverDeadline: Duration
    package let maximumSwitches: Int
    package let drainAfterDisconnect: Duration
    package let shutdownDrain: Duration
    package let queueWait: Duration
    package let stickyWait: Duration
    /// How many calls may wait in one line.
    package let queueLimit: Int
    package let isolatesAccounts: Bool
    package let allowsUnpricedModels: Bool
    package let traceMemory: Int

    init(_ settings: GatewaySettings) {
        bodyLimit = settings.bodyLimit
        connectTimeout = settings.connectTimeout
        firstByteTimeout = settings.firstByteTimeout
        idleTimeout = settings.idleTimeout
        totalTimeout = settings.totalTimeout
        failoverDeadline = settings.failoverDeadline
        maximumSwitches = settings.maximumSwitches
        drainAfterDisconnect = settings.drainAfterDisconnect
        shutdownDrain = settings.shutdownDrain
        queueWait = .seconds(settings["queue_wait_seconds"])
        stickyWait = .milliseconds(settings["sticky_wait_milliseconds"])
        queueLimit = Int(settings["queue_limit"])
        isolatesAccounts = settings.isolatesAccounts
        allowsUnpricedModels = settings.allowsUnpricedModels
        traceMemory = settings.traceMemory
    }
}
