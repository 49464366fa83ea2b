import HTTPMessages
import HTTPServing
import Reactor

/// Plays the plan of an answer on its exchange, at the caller's pace.
final class PlanRunner {
    /// Above so many bytes that the caller has not taken, it waits.
    private static let mostPendingBytes = 256 * 1024
    /// What is written at once.
    private static let mostPieceBytes = 64 * 1024

    private let exchange: ServerExchange
    private let plan: AnswerPlan
    private var timer: LoopTimer?
    private var hasTimerFired = false
    private var waiter: UnsafeContinuation<Void, Never>?

    /// Bytes of the body that were written.
    private(set) var bytesSent = 0

    init(_ plan: AnswerPlan, on exchange: ServerExchange) {
        self.plan = plan
        self.exchange = exchange
    }

    /// Plays to the end, or until the caller is gone.
    func run() async -> CallEnd {
        exchange.onCallerGone = { [unowned self] in wake() }
        exchange.onDrain = { [unowned self] in wake() }
        defer {
            exchange.onCallerGone = nil
            exchange.onDrain = nil
        }
        await pause(plan.headDelay)
        if let head = plan.head, !exchange.isCallerGone { await send(head) }
        return await end()
    }

    private func send(_ head: HTTPResponseHead) async {
        if plan.hasInterim { exchange.sendEarlyHints() }
        if plan.framing == .whole, plan.body.count <= Self.mostPendingBytes {
            exchange.respond(head, body: plan.body)
            bytesSent = plan.body.count
            return
        }
        var head = head
        switch plan.framing {
        case .pieces: break
        case .whole: head.headers.set("content-length", String(plan.body.count))
        case .announced(let count): head.headers.set("content-length", String(count))
        }
        exchange.startResponse(head)
        if plan.pieces.isEmpty {
            await write(through: plan.body.count)
        } else {
            for (index, piece) in plan.pieces.enumerated() {
                // A chopped body leaves piece by piece even without a delay: each in a turn of its own.
                if index > 0 || piece.delay > .zero { await pause(piece.delay, atLeastOneTurn: true) }
                await write(through: piece.end)
                if exchange.isCallerGone { return }
            }
        }
    }

    /// Writes the body up to an offset, as fast as the caller takes it.
    private func write(through end: Int) async {
        while bytesSent < end, !exchange.isCallerGone {
            let next = min(end, bytesSent + Self.mostPieceBytes)
            plan.body.withUnsafeBytes { exchange.write(UnsafeRawBufferPointer(rebasing: $0[bytesSent..<next])) }
            bytesSent = next
            if exchange.pendingBytes > Self.mostPendingBytes { await drained() }
        }
    }

    private func end() async -> CallEnd {
        guard !exchange.isCallerGone else { return .callerGone }
        switch plan.ending {
        case .cut:
            // A reset throws away what is still on its way.
            if plan.head != nil { await drained() }
            guard !exchange.isCallerGone else { return .callerGone }
            exchange.cut()
            return .cut
        case .silence:
            while !exchange.isCallerGone { await wait() }
            return .callerGone
        case .complete, .cutClean, .errorEvent, .empty:
            if !exchange.isFinished { exchange.finish() }
            return CallEnd(rawValue: plan.ending.rawValue) ?? .complete
        }
    }

    // MARK: Waiting

    private func pause(_ delay: Duration, atLeastOneTurn: Bool = false) async {
        guard delay > .zero || atLeastOneTurn, !exchange.isCallerGone else { return }
        let timer =
            timer
            ?? LoopTimer(exchange.loop) { [unowned self] in
                hasTimerFired = true
                wake()
            }
        self.timer = timer
        hasTimerFired = false
        timer.start(after: delay)
        while !hasTimerFired, !exchange.isCallerGone { await wait() }
        timer.stop()
    }

    private func drained() async {
        while exchange.pendingBytes > 0, !exchange.isCallerGone {
            exchange.notifyWhenDrained()
            await wait()
        }
    }

    private func wait() async {
        await withUnsafeContinuation { waiter = $0 }
    }

    private func wake() {
        guard let continuation = waiter else { return }
        waiter = nil
        continuation.resume()
    }
}
