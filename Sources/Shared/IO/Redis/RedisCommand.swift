import Bytes

/// Arguments of a command, gathered as bytes without a `String` each.
package struct RedisCommand: Sendable {
    /// The arguments in RESP, without the head that counts them.
    private(set) var encoded: [UInt8] = []
    private(set) var count = 0

    package init(_ name: String) { add(name) }

    /// A command with its arguments: `["SET", key, value]`.
    package init(_ arguments: [String]) {
        for argument in arguments { add(argument) }
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
        add(String(number))
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
        append(atMost: Self.bulkOverhead) { $0.write(head: UInt8(ascii: "*"), command.count) }
        append(contentsOf: command.encoded)
    }

    /// `EVALSHA sha numkeys key … argument …`
    mutating func appendRun(of script: RedisScript.Stored, keys: [String], arguments: [String]) {
        var most = 3 * Self.bulkOverhead + script.opening.count
        for key in keys { most += key.utf8.count + Self.bulkOverhead }
        for argument in arguments { most += argument.utf8.count + Self.bulkOverhead }
        append(atMost: most) { out in
            out.write(head: UInt8(ascii: "*"), 3 + keys.count + arguments.count)
            script.opening.withUnsafeBytes { out.write($0) }
            out.write(bulk: String(keys.count))
            for key in keys { out.write(bulk: key) }
            for argument in arguments { out.write(bulk: argument) }
        }
    }

    mutating func appendBulk(_ text: String) {
        append(atMost: text.utf8.count + Self.bulkOverhead) { $0.write(bulk: text) }
    }

    mutating func appendBulk(_ bytes: [UInt8]) {
        append(atMost: bytes.count + Self.bulkOverhead) { out in
            out.write(head: UInt8(ascii: "$"), bytes.count)
            bytes.withUnsafeBytes { out.write($0) }
            out.write("\r\n")
        }
    }
}

extension ByteCursor {
    /// `*count` or `$length` and the line's end.
    fileprivate mutating func write(head kind: UInt8, _ number: Int) {
        write(kind)
        write(decimal: Int64(number))
        write("\r\n")
    }

    fileprivate mutating func write(bulk text: String) {
        write(head: UInt8(ascii: "$"), text.utf8.count)
        write(text)
        write("\r\n")
    }
}
