import Bytes

/// An answer as it came, lent to who asked: most look at a number or a few bytes of it once and keep nothing.
///
/// What is to be kept, or has parts, is made a `RedisValue` of.
@usableFromInline
package struct RedisReply: ~Copyable {
    /// A value; the elements of an array stand after it, each with its own.
    @usableFromInline
    struct Element {
        @usableFromInline
        enum Kind { case null, integer, string, status, error, array }
        @usableFromInline let kind: Kind
        /// The number itself, how many elements, or where the text begins.
        @usableFromInline let number: Int
        /// Of the text.
        @usableFromInline let count: Int

        @inlinable var text: Range<Int> { number..<number &+ count }
    }
    @usableFromInline var elements: [Element] = []
    /// All texts, one after another.
    @usableFromInline var texts: [UInt8] = []
    /// Why there is no answer, or what Redis said against the question.
    package let failure: RedisError?

    /// What stays allocated for the next answer.
    private static let keptTexts = 64 * 1024
    private static let keptElements = 1024

    init(failure: RedisError? = nil) { self.failure = failure }

    // MARK: Looking at it

    /// What a string says, as long as `body` runs; nil for anything else.
    @inlinable
    package func withText<Answer>(_ body: (UnsafeRawBufferPointer) throws -> Answer) rethrows -> Answer? {
        guard let element = elements.first, element.kind == .string else { return nil }
        return try texts.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[element.text])) }
    }

    /// An integer, or a string that is a decimal one.
    package var integer: Int64? {
        guard let element = elements.first else { return nil }
        return switch element.kind {
        case .integer: Int64(element.number)
        case .string: texts.withUnsafeBytes { Int64(decimal: UnsafeRawBufferPointer(rebasing: $0[element.text])) }
        case .null, .status, .error, .array: nil
        }
    }

    /// The two integers of an array that has nothing else.
    package var pair: (first: Int64, second: Int64)? {
        guard elements.count == 3, elements[0].kind == .array, elements[1].kind == .integer,
            elements[2].kind == .integer
        else { return nil }
        return (Int64(elements[1].number), Int64(elements[2].number))
    }

    package var result: Result<RedisValue, RedisError> {
        if let failure { .failure(failure) } else { .success(RedisValue(self)) }
    }

    /// What Redis said against the question; nil for an answer.
    var refusal: String? {
        guard let element = elements.first, element.kind == .error else { return nil }
        return text(of: element)
    }

    fileprivate func text(of element: Element) -> String { String(decoding: texts[element.text], as: UTF8.self) }

    /// The value at a position, which is then behind it. hiredis bounds how deep they go.
    fileprivate func value(_ position: inout Int) -> RedisValue {
        guard position < elements.count else { return .null }
        let element = elements[position]
        position += 1
        switch element.kind {
        case .null: return .null
        case .integer: return .integer(Int64(element.number))
        case .string: return .string(Array(texts[element.text]))
        case .status: return .status(text(of: element))
        case .error: return .error(text(of: element))
        case .array:
            var parts: [RedisValue] = []
            parts.reserveCapacity(element.number)
            for _ in 0..<element.number { parts.append(value(&position)) }
            return .array(parts)
        }
    }

    // MARK: Building it

    mutating func add(_ number: Int64) {
        elements.append(Element(kind: .integer, number: Int(number), count: 0))
    }

    mutating func addNull() { elements.append(Element(kind: .null, number: 0, count: 0)) }

    mutating func add(_ kind: Element.Kind, _ text: UnsafeRawBufferPointer) {
        elements.append(Element(kind: kind, number: texts.count, count: text.count))
        texts.append(atMost: text.count) { $0.write(text) }
    }

    /// So many elements follow.
    mutating func addArray(of count: Int) { elements.append(Element(kind: .array, number: count, count: 0)) }

    mutating func clear() {
        elements.removeAll(keepingCapacity: elements.count <= Self.keptElements)
        texts.removeAll(keepingCapacity: texts.count <= Self.keptTexts)
    }
}

extension RedisValue {
    package init(_ reply: borrowing RedisReply) {
        var position = 0
        self = reply.value(&position)
    }
}

/// Is told once, in a later turn, what became of a command.
package typealias RedisReplyHandler = (borrowing RedisReply) -> Void
