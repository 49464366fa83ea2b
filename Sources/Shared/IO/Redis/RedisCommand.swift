package import Bytes

/// Arguments of a command or a script, gathered as bytes without a `String` each.
package struct RedisArguments: Sendable {
    /// In RESP, without the head that counts them.
    private(set) var encoded: [UInt8] = []
    package private(set) var count = 0

    package init(_ arguments: [String] = []) {
        for argument in arguments { add(argument) }
    }

    /// - Parameter capacity: bytes of all of them together, each with 12 more than its text.
    package init(capacity: Int) { encoded.reserveCapacity(capacity) }

    /// Bytes of all of them.
    package var size: Int { encoded.count }

    package mutating func add(contentsOf other: RedisArguments) {
        encoded.append(contentsOf: other.encoded)
        count += other.count
    }

    package mutating func add(_ text: String) {
        encoded.appendBulk(text)
        count += 1
    }

    package mutating func add(_ bytes: [UInt8]) {
        encoded.appendBulk(bytes)
        count += 1
    }

    package mutating func add(_ number: Int64) {
        encoded.appendBulk(number)
        count += 1
    }

    /// An argument of at most `most` bytes that `body` writes: for names made of pieces, without a `String`.
    package mutating func add(atMost most: Int, _ body: (inout ByteCursor) -> Void) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: most) { memory in
            var text = ByteCursor(memory)
            body(&text)
            let written = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<text.count])
            encoded.appendBulk(written)
        }
        count += 1
    }
}

package struct RedisCommand: Sendable {
    private(set) var arguments: RedisArguments

    package init(_ name: String) { arguments = RedisArguments([name]) }

    /// - Parameter capacity: bytes of the arguments that will be added, each with 12 more than its text.
    package init(_ name: String, capacity: Int) {
        arguments = RedisArguments(capacity: capacity + name.utf8.count + 12)
        arguments.add(name)
    }

    /// A command with its arguments: `["SET", key, value]`.
    package init(_ arguments: [String]) { self.arguments = RedisArguments(arguments) }

    package mutating func add(contentsOf other: RedisArguments) { arguments.add(contentsOf: other) }
    package mutating func add(_ text: String) { arguments.add(text) }
    package mutating func add(_ bytes: [UInt8]) { arguments.add(bytes) }
    package mutating func add(_ number: Int64) { arguments.add(number) }
    package mutating func add(atMost most: Int, _ body: (inout ByteCursor) -> Void) {
        arguments.add(atMost: most, body)
    }
}

/// RESP requests, written straight into a buffer that is kept.
///
/// hiredis' own formatter (`redisFormatCommandArgv`) takes arrays of pointers and lengths, allocates the result and has
/// it copied again. For an EVALSHA of 15 arguments it takes 1.7 µs, more than all of a call's way through this client.
extension [UInt8] {
    /// Beside its text a bulk string has `$`, a length and two line ends.
    private static var bulkOverhead: Int { 25 }

    mutating func append(_ command: RedisCommand) {
        appendCount(command.arguments.count)
        append(contentsOf: command.arguments.encoded)
    }

    /// The head of a command: how many arguments it has.
    mutating func appendCount(_ count: Int) {
        append(atMost: Self.bulkOverhead) { $0.write(head: UInt8(ascii: "*"), count) }
    }

    mutating func appendBulk(_ text: String) {
        append(atMost: text.utf8.count + Self.bulkOverhead) { $0.write(bulk: text) }
    }

    mutating func appendBulk(_ bytes: [UInt8]) { bytes.withUnsafeBytes { appendBulk($0) } }

    mutating func appendBulk(_ bytes: UnsafeRawBufferPointer) {
        append(atMost: bytes.count + Self.bulkOverhead) { out in
            out.write(head: UInt8(ascii: "$"), bytes.count)
            out.write(bytes)
            out.writeLineEnd()
        }
    }

    mutating func appendBulk(_ number: Int64) {
        append(atMost: 20 + Self.bulkOverhead) { out in
            out.write(head: UInt8(ascii: "$"), ByteCursor.length(ofDecimal: number))
            out.write(decimal: number)
            out.writeLineEnd()
        }
    }
}

extension ByteCursor {
    /// `*count` or `$length` and the line's end.
    fileprivate mutating func write(head kind: UInt8, _ number: Int) {
        write(kind)
        write(decimal: Int64(number))
        writeLineEnd()
    }

    fileprivate mutating func write(bulk text: String) {
        write(head: UInt8(ascii: "$"), text.utf8.count)
        write(text)
        writeLineEnd()
    }
}
