/// A row's number in Postgres. Each kind has its own type, so that an account's can never stand for a user's.
package protocol Identifier: Hashable, Comparable, Sendable, CustomStringConvertible {
    var raw: Int64 { get }
    init(_ raw: Int64)
}

extension Identifier {
    package var description: String { String(raw) }
    package static func < (left: Self, right: Self) -> Bool { left.raw < right.raw }
}

package struct UserID: Identifier {
    package let raw: Int64
    package init(_ raw: Int64) { self.raw = raw }
}

package struct KeyID: Identifier {
    package let raw: Int64
    package init(_ raw: Int64) { self.raw = raw }
}

package struct GroupID: Identifier {
    package let raw: Int64
    package init(_ raw: Int64) { self.raw = raw }
}

package struct AccountID: Identifier {
    package let raw: Int64
    package init(_ raw: Int64) { self.raw = raw }
}

package struct ProxyID: Identifier {
    package let raw: Int64
    package init(_ raw: Int64) { self.raw = raw }
}

/// The partition of a user's counters, reservations and usage records: `userID mod 64`.
package struct Partition: Hashable, Comparable, Sendable {
    package static let count = 64
    package let number: Int

    package init(of user: UserID) { number = Int(user.raw.magnitude % UInt64(Self.count)) }

    package init?(_ number: Int) {
        guard (0..<Self.count).contains(number) else { return nil }
        self.number = number
    }

    package static var all: [Partition] { (0..<count).compactMap { Partition($0) } }

    package static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}
