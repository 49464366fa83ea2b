import Reactor

/// An upstream connection as the pool and the exchanges see it.
class ClientConnection: Expiring {
    /// Connections are numbered as they are opened.
    final let serial: UInt64

    init(serial: UInt64) { self.serial = serial }

    /// The reader has taken bytes of the answer.
    func bodyWasTaken(_ count: Int, of exchange: Exchange) {}
    /// The reader has paused, gone on, or come.
    func demandDidChange(of exchange: Exchange) {}
    /// Nobody wants the answer any more. The exchange is told nothing further.
    func cancel(_ exchange: Exchange) {}
}
