package import Postgres
package import Redis

/// Waits of clients on a machine that has much else to do: what a test looks at is never that somebody gave up soon.
extension RedisConfiguration {
    /// A configuration whose client gives a server up after a third of a minute.
    package init?(patientURL url: String) {
        self.init(url: url)
        commandTimeout = .seconds(20)
        connectTimeout = .seconds(20)
    }
}

extension PostgresPool.Options {
    package static var patient: Self {
        var options = Self()
        options.connectTimeout = .seconds(30)
        options.borrowTimeout = .seconds(60)
        return options
    }
}
