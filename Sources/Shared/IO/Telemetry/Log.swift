import Bytes
import Glibc
import Synchronization

package enum LogLevel: String, Sendable, Comparable, CaseIterable {
    case debug, info, warning, error

    private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
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
                if let argument { Unmanaged<Log>.fromOpaque(argument).takeRetainedValue().writeUntilClosed() }
                return nil
            },
            Unmanaged.passRetained(self).toOpaque()
        )
        pthread_detach(thread)
    }

    package func debug(_ message: StaticString, _ fields: KeyValuePairs<StaticString, LogValue> = [:]) {
        write(.debug, message) { $0.add(fields) }
    }
    package func info(_ message: StaticString, _ fields: KeyValuePairs<StaticString, LogValue> = [:]) {
        write(.info, message) { $0.add(fields) }
    }
    package func warning(_ message: StaticString, _ fields: KeyValuePairs<StaticString, LogValue> = [:]) {
        write(.warning, message) { $0.add(fields) }
    }
    package func error(_ message: StaticString, _ fields: KeyValuePairs<StaticString, LogValue> = [:]) {
        write(.error, message) { $0.add(fields) }
    }

    /// Appends a line whose fields `body` adds one by one, without building a list of them.
    package func write(_ level: LogLevel, _ message: StaticString, _ body: (inout LogFields) -> Void) {
        guard level >= self.level else { return }
        let now = WallClock.microseconds
        state.withLock { state in
            guard state.buffer.count < Self.backlogLimit else {
                state.dropped += 1
                return
            }
            if now / 1_000_000 != state.second { state.startSecond(now / 1_000_000) }
            var fields = LogFields(taking: state.buffer)
            state.buffer = []
            fields.open(secondText: state.secondText, micros: now % 1_000_000, level, service, message)
            body(&fields)
            state.buffer = fields.close()
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
                let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
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
    private var line: [UInt8]

    fileprivate init(taking buffer: consuming [UInt8]) { line = buffer }

    package mutating func add(_ name: StaticString, _ value: String) {
        var value = value
        value.withUTF8 { value in
            line.append(atMost: name.utf8CodeUnitCount + 6 * value.count + 6) { out in
                out.write(name: name)
                out.write(UInt8(ascii: "\""))
                out.write(escaping: UnsafeRawBufferPointer(value))
                out.write(UInt8(ascii: "\""))
            }
        }
    }

    package mutating func add(_ name: StaticString, _ value: Int64) {
        line.append(atMost: name.utf8CodeUnitCount + 24) { out in
            out.write(name: name)
            out.write(decimal: value)
        }
    }

    package mutating func add(_ name: StaticString, _ value: Bool) {
        line.append(atMost: name.utf8CodeUnitCount + 9) { out in
            out.write(name: name)
            out.write(value ? "true" : "false")
        }
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

    fileprivate mutating func open(
        secondText: [UInt8],
        micros: Int64,
        _ level: LogLevel,
        _ service: [UInt8],
        _ message: StaticString
    ) {
        let most = 80 + secondText.count + service.count + message.utf8CodeUnitCount
        line.append(atMost: most) { out in
            out.write("{\"time\":\"")
            secondText.withUnsafeBytes { out.write($0) }
            out.write(UInt8(ascii: "."))
            var unit: Int64 = 100_000
            while unit > 0 {
                out.write(UInt8(truncatingIfNeeded: 0x30 + micros / unit % 10))
                unit /= 10
            }
            out.write("Z\",\"level\":\"")
            out.write(level.rawValue)
            out.write("\",\"service\":\"")
            service.withUnsafeBytes { out.write($0) }
            out.write("\",\"message\":\"")
            out.write(message)
            out.write(UInt8(ascii: "\""))
        }
    }

    fileprivate consuming func close() -> [UInt8] {
        line.append(UInt8(ascii: "}"))
        line.append(UInt8(ascii: "\n"))
        return line
    }
}

extension ByteCursor {
    fileprivate mutating func write(name: StaticString) {
        write(",\"")
        write(name)
        write("\":")
    }
}
