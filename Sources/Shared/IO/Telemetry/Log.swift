import Bytes
package import Domain
import Glibc
import Synchronization

package enum LogLevel: String, Sendable, Comparable, CaseIterable {
    case debug, info, warning, error

    private var rank: Int {
        switch self {
        case .debug: 0
        case .info: 1
        case .warning: 2
        case .error: 3
        }
    }
    package static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
}

package enum LogValue: Sendable, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral,
    ExpressibleByBooleanLiteral
{
    case text(String)
    case integer(Int64)
    case bool(Bool)

    package init(stringLiteral value: String) { self = .text(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(_ value: some BinaryInteger) { self = .integer(Int64(clamping: value)) }
}

/// Structured logs: one JSON object a line, a constant message with its facts as fields.
///
/// Lines are gathered in memory and written by a thread of their own, at most 10 ms later, so a slow terminal or disk
/// never holds up a loop. When the backlog is full, lines are dropped and counted.
package final class Log: Sendable {
    fileprivate struct State {
        var buffer: [UInt8] = []
        var dropped = 0
        var second: Int64 = 0
        var secondText: [UInt8] = []
        var isClosed = false
    }
    private static let backlogLimit = 8 * 1024 * 1024

    private let state = Mutex(State())
    private let level: LogLevel
    private let descriptor: Int32
    private let service: [UInt8]

    /// - Parameter descriptor: where lines go, standard output by default. It is not closed.
    package init(service: String, level: LogLevel = .info, descriptor: Int32 = STDOUT_FILENO) {
        self.service = Array(service.utf8)
        self.level = level
        self.descriptor = descriptor
        var thread = pthread_t()
        pthread_create(
            &thread,
            nil,
            { argument in
                if let argument {
                    Unmanaged<Log>.fromOpaque(argument).takeRetainedValue().writeUntilClosed()
                }
                return nil
            },
            Unmanaged.passRetained(self).toOpaque()
        )
        pthread_detach(thread)
    }

    package func debug(_ message: StaticString, _ fields: KeyValuePairs<StaticString, LogValue> = [:]) {
        write(.debug, message, fields)
    }
    package func info(_ message: StaticString, _ fields: KeyValuePairs<StaticString, LogValue> = [:]) {
        write(.info, message, fields)
    }
    package func warning(
        _ message: StaticString,
        _ fields: KeyValuePairs<StaticString, LogValue> = [:]
    ) {
        write(.warning, message, fields)
    }
    package func error(_ message: StaticString, _ fields: KeyValuePairs<StaticString, LogValue> = [:]) {
        write(.error, message, fields)
    }

    private func write(
        _ level: LogLevel,
        _ message: StaticString,
        _ fields: KeyValuePairs<StaticString, LogValue>
    ) {
        guard level >= self.level else { return }
        let most = fields.reduce(0) { $0 + LogFields.room(for: $1.key, $1.value) }
        write(level, message, atMost: most) { $0.add(fields) }
    }

    /// Appends a line whose fields `body` adds one by one, without building a list of them.
    ///
    /// - Parameter most: bytes of the fields: of each its name and 5 more, 20 for a number, 6 for each byte of a text and
    ///   2 more. What has no room is left out.
    package func write(
        _ level: LogLevel,
        _ message: StaticString,
        atMost most: Int,
        _ body: (inout LogFields) -> Void
    ) {
        guard level >= self.level else { return }
        let now = WallClock.microseconds
        state.withLock { state in
            guard state.buffer.count < Self.backlogLimit else {
                state.dropped += 1
                return
            }
            if now / 1_000_000 != state.second { state.startSecond(now / 1_000_000) }
            let secondText = state.secondText
            let head = 80 + secondText.count + service.count + message.utf8CodeUnitCount
            state.buffer.append(atMost: head + most + 2) { out in
                out.writeHead(secondText: secondText, micros: now % 1_000_000, level, service, message)
                var fields = LogFields(consume out, atMost: most)
                body(&fields)
                out = fields.finish()
                out.write("}\n")
            }
        }
    }

    /// Writes what is left and ends the writer. Lines logged afterwards are lost.
    package func close() {
        let rest = state.withLock { state in
            state.isClosed = true
            defer { state.buffer = [] }
            return state.buffer
        }
        writeOut(rest)
    }

    private func writeUntilClosed() {
        while true {
            usleep(10_000)
            let (lines, dropped, isClosed) = state.withLock { state in
                defer {
                    state.buffer = []
                    state.dropped = 0
                }
                return (state.buffer, state.dropped, state.isClosed)
            }
            writeOut(lines)
            if dropped > 0 { warning("log lines dropped", ["count": LogValue(dropped)]) }
            if isClosed { return }
        }
    }

    private func writeOut(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Glibc.write(
                    descriptor,
                    UnsafeRawBufferPointer(rebasing: rest).baseAddress,
                    rest.count
                )
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if errno != EINTR && errno != EAGAIN {
                    return
                } else {
                    usleep(1000)
                }
            }
        }
    }
}

extension Log.State {
    fileprivate mutating func startSecond(_ second: Int64) {
        var time = time_t(second)
        var parts = tm()
        gmtime_r(&time, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%S", &parts)
        self.second = second
        secondText = text.prefix(count).map { UInt8(bitPattern: $0) }
    }
}

/// The fields of one line while it is being written.
package struct LogFields: ~Copyable {
    private var line: ByteCursor
    private let end: Int

    fileprivate init(_ line: consuming ByteCursor, atMost most: Int) {
        end = line.count + most
        self.line = line
    }

    fileprivate consuming func finish() -> ByteCursor { line }

    package mutating func add(_ name: StaticString, _ value: String) {
        guard hasRoom(name, 6 * value.utf8.count + 2) else { return }
        line.write(name: name)
        line.write(UInt8(ascii: "\""))
        line.write(escaping: value)
        line.write(UInt8(ascii: "\""))
    }

    package mutating func add(_ name: StaticString, _ value: Int64) {
        guard hasRoom(name, Self.longestNumber) else { return }
        line.write(name: name)
        line.write(decimal: value)
    }

    package mutating func add(_ name: StaticString, _ value: Bool) {
        guard hasRoom(name, 5) else { return }
        line.write(name: name)
        line.write(value ? "true" : "false")
    }

    /// An amount, as text.
    package mutating func add(_ name: StaticString, _ value: NanoUSD) {
        guard hasRoom(name, NanoUSD.longest + 2) else { return }
        line.write(name: name)
        line.write(UInt8(ascii: "\""))
        value.write(to: &line)
        line.write(UInt8(ascii: "\""))
    }

    fileprivate mutating func add(_ fields: KeyValuePairs<StaticString, LogValue>) {
        for (name, value) in fields {
            switch value {
            case .text(let text): add(name, text)
            case .integer(let number): add(name, number)
            case .bool(let flag): add(name, flag)
            }
        }
    }

    // MARK: Room

    private static let longestNumber = 20
    /// A comma, a colon and the quotes of a name.
    private static let aroundName = 4

    fileprivate static func room(for name: StaticString, _ value: LogValue) -> Int {
        let value =
            switch value {
            case .text(let text): 6 * text.utf8.count + 2
            case .integer: longestNumber
            case .bool: 5
            }
        return name.utf8CodeUnitCount + aroundName + value
    }

    private func hasRoom(_ name: StaticString, _ value: Int) -> Bool {
        line.count + name.utf8CodeUnitCount + Self.aroundName + value <= end
    }
}

extension ByteCursor {
    fileprivate mutating func writeHead(
        secondText: [UInt8],
        micros: Int64,
        _ level: LogLevel,
        _ service: [UInt8],
        _ message: StaticString
    ) {
        write("{\"time\":\"")
        secondText.withUnsafeBytes { write($0) }
        write(UInt8(ascii: "."))
        var unit: Int64 = 100_000
        while unit > 0 {
            write(UInt8(truncatingIfNeeded: 0x30 + micros / unit % 10))
            unit /= 10
        }
        write("Z\",\"level\":\"")
        write(level.rawValue)
        write("\",\"service\":\"")
        service.withUnsafeBytes { write($0) }
        write("\",\"message\":\"")
        write(message)
        write(UInt8(ascii: "\""))
    }

    fileprivate mutating func write(name: StaticString) {
        write(",\"")
        write(name)
        write("\":")
    }
}
