import Domain
package import HTTPServing

/// A call's place in the line of its user or key, while as many of their calls as may be are under way.
package final class CallerWait {
    private let room: WaitRoom
    private let requestID: String
    /// What the call is admitted with; nil where nobody may wait.
    package private(set) var ticket: WaitTicket?
    /// The set of slots that it waits for.
    private var line: String?
    private var guest: WaitRoom.Guest?

    package init(_ room: WaitRoom, requestID: String, _ settings: ServingSettings) {
        self.room = room
        self.requestID = requestID
        ticket = Self.ticket(settings)
    }

    /// What a call is admitted with that has not waited yet; nil where nobody may wait.
    static func ticket(_ settings: ServingSettings) -> WaitTicket? {
        settings.queueWait > .zero ? WaitTicket(bound: settings.queueLimit) : nil
    }

    /// Waits until it is worth while to ask again.
    ///
    /// - Parameter limit: how long the call may still wait.
    /// - Throws: `GatewayError` where it may not, or there is no place for it.
    package func wait(
        in line: String,
        _ place: WaitPlace,
        atMost limit: Duration,
        _ exchange: ServerExchange
    ) async throws {
        let guest = guest ?? room.enter(.caller)
        self.guest = guest
        guard case .since(let since) = place else {
            end(.crowded)
            throw Self.tooMany
        }
        self.line = line
        ticket?.since = since
        guard limit > .zero, !exchange.isCallerGone else {
            end(limit > .zero ? .gone : .timeout)
            throw Self.tooMany
        }
        _ = await room.sleep(guest, on: [line], atMost: limit, exchange)
    }

    /// Gives the ticket back, unless the call was served: then the script has taken it.
    package func end(_ end: WaitMetrics.End) {
        if let line, end != .served { room.leave(line, requestID: requestID) }
        if let guest { room.exit(guest, end) }
        line = nil
        guest = nil
    }

    private static let tooMany = GatewayError(
        .concurrencyLimit,
        "Too many calls at once; wait for one to end.",
        retryAfterSeconds: 5
    )
}
