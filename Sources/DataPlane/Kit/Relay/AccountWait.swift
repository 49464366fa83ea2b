package import Domain
package import HTTPServing
package import Reactor

/// A call's places in the lines of full accounts, from the moment in which it has nowhere else to go.
package final class AccountWait {
    /// Lines that a call stands in at once: those of the accounts that were best.
    private static let maximumLines = 4

    private let room: WaitRoom
    private let guest: WaitRoom.Guest
    private let requestID: String
    private let bound: Int
    /// The sets of slots of the accounts, and since when it waits there.
    private var places: [AccountID: (line: String, since: Int64)] = [:]
    package let startedAt = MonotonicTime.now
    private var isEnded = false
    /// A slot has become free in one of its lines: it need not look elsewhere.
    package private(set) var isWoken = false
    /// Whether a line had no room for it.
    package private(set) var wasCrowded = false

    package init(_ room: WaitRoom, for kind: WaitMetrics.Kind, requestID: String, bound: Int) {
        self.room = room
        self.requestID = requestID
        self.bound = bound
        guest = room.enter(kind)
    }

    package var hasPlace: Bool { !places.isEmpty }
    package var kind: WaitMetrics.Kind { guest.kind }

    /// Whether the call has no business with this account now.
    package func excludes(_ account: AccountID) -> Bool { isWoken && places[account] == nil }

    /// What became free is gone again.
    package func lookEverywhere() { isWoken = false }

    /// The ticket that an account is to be asked with; nil for none.
    package func ticket(for account: AccountID) -> WaitTicket? {
        guard places[account] != nil || places.count < Self.maximumLines else { return nil }
        var ticket = WaitTicket(bound: bound)
        ticket.since = places[account]?.since
        return ticket
    }

    package func note(_ place: WaitPlace, at account: AccountID, _ line: String) {
        switch place {
        case .since(let since): places[account] = (line, since)
        case .none(let isCrowded):
            places[account] = nil
            wasCrowded = wasCrowded || isCrowded
        }
    }

    /// Until it is worth while to ask again.
    package func sleep(atMost limit: Duration, _ exchange: ServerExchange) async {
        isWoken = await room.sleep(guest, on: places.values.map(\.line), atMost: limit, exchange) == .woken
    }

    /// Gives back all tickets but the one at `account`, whose slot the call has got.
    package func end(_ end: WaitMetrics.End, at account: AccountID? = nil) {
        guard !isEnded else { return }
        isEnded = true
        for (other, place) in places where other != account { room.leave(place.line, requestID: requestID) }
        room.exit(guest, end)
    }
}
