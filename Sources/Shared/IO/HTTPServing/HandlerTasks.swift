import Reactor

/// The tasks that run a server's handler, each for one exchange after another.
///
/// A task is made, and its memory found piece by piece, at the price of a small handler's own work; so those that have
/// nothing to do are kept, with the memory that they have.
final class HandlerTasks {
    /// Where a task finds its next exchange.
    private final class Desk {
        var exchange: ServerExchange?
        var waiter: UnsafeContinuation<Void, Never>?

        func takeExchange() -> ServerExchange? {
            defer { exchange = nil }
            return exchange
        }

        func wake() {
            waiter?.resume()
            waiter = nil
        }
    }

    private let loop: EventLoop
    private let handler: HTTPServer.Handler
    private var idle: [Desk] = []
    private var isClosed = false

    /// More than that are let go of after a rush.
    private static let idleLimit = 64

    init(_ loop: EventLoop, handler: @escaping HTTPServer.Handler) {
        self.loop = loop
        self.handler = handler
    }

    /// Has the handler run for the exchange: when the present callback has returned, or, where no task waits or `atOnce`,
    /// now.
    func run(_ exchange: ServerExchange, atOnce: Bool) {
        guard !atOnce, let desk = idle.popLast() else {
            let desk = Desk()
            desk.exchange = exchange
            return loop.spawn { await self.work(at: desk) }
        }
        desk.exchange = exchange
        desk.wake()
    }

    /// Ends the tasks that have nothing to do, and the others when they have done it.
    func close() {
        isClosed = true
        for desk in idle { desk.wake() }
        idle = []
    }

    private func work(at desk: Desk) async {
        // Each exchange in a scope of its own: nothing of it is kept while its task waits for the next one.
        while await handleNext(of: desk) {
            guard !isClosed, idle.count < Self.idleLimit else { return }
            await withUnsafeContinuation { continuation in
                desk.waiter = continuation
                idle.append(desk)
            }
        }
    }

    /// False when there is none.
    private func handleNext(of desk: Desk) async -> Bool {
        guard let exchange = desk.takeExchange() else { return false }
        await handler(exchange)
        if !exchange.isContinued { exchange.handlingDidEnd() }
        return true
    }
}
