/// A text that must not show up in logs, errors or dumps: it has no printable form.
package struct Secret: Sendable, Equatable {
    private let value: String

    package init(_ value: String) { self.value = value }

    package var isEmpty: Bool { value.isEmpty }

    /// The text itself, to be sent or sealed; never to be logged.
    package func reveal() -> String { value }

    package func withValue<Result>(_ body: (String) throws -> Result) rethrows -> Result { try body(value) }

    package static func == (left: Secret, right: Secret) -> Bool { ConstantTime.equal(left.value, right.value) }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// What stands for every secret, in the admin API as well.
    package static let mask = "•••"

    package var description: String { Self.mask }
    package var debugDescription: String { Self.mask }
    package var customMirror: Mirror { Mirror(self, children: [(label: String?, value: Any)]()) }
}
