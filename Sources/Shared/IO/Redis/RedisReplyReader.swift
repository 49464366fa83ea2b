import CHiredis

/// The server broke RESP, or an answer is larger than we take.
package struct RedisProtocolError: Error, Equatable, CustomStringConvertible {
    package let description: String
}

/// Cuts the server's bytes into answers: hiredis' incremental parser, building Swift values.
///
/// Values are added to the innermost open array as hiredis meets them, so an answer costs no objects but its own.
/// hiredis bounds nesting (7 levels); sizes are bounded here.
package final class RedisReplyReader {
    private let reader: UnsafeMutablePointer<redisReader>
    private let maximumBytes: Int
    private var answer: UnfinishedAnswer
    /// What the unfinished answer has taken so far.
    private var bytes = 0

    /// Fed in slices: hiredis moves the rest of its buffer down after each kilobyte it consumed.
    private static let slice = 16 * 1024
    /// No line, as opposed to the body of a string, is this long; hiredis would search it again at each slice.
    private static let longestLine = 64 * 1024

    /// - Parameters:
    ///   - maximumBytes: of one answer; Redis' own bound on a string is 512 MiB.
    ///   - maximumElements: of one answer, nested ones included.
    package init(maximumBytes: Int = 513 << 20, maximumElements: Int = 16 << 20) {
        guard let reader = redisReaderCreateWithFunctions(Self.functions) else {
            preconditionFailure("out of memory")
        }
        self.reader = reader
        self.maximumBytes = maximumBytes
        answer = UnfinishedAnswer(maximumElements: maximumElements)
        reader.pointee.maxbuf = 4 * Self.slice
        reader.pointee.privdata = Unmanaged.passUnretained(self).toOpaque()
    }

    deinit { redisReaderFree(reader) }

    /// Takes bytes and hands out each answer that they complete, until `onReply` returns false.
    package func feed(_ input: UnsafeRawBufferPointer, _ onReply: (RedisValue) -> Bool) throws(RedisProtocolError) {
        var rest = input[...]
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(Self.slice))
            rest = rest.dropFirst(Self.slice)
            bytes &+= piece.count
            guard bytes <= maximumBytes else { throw RedisProtocolError(description: "answer too large") }
            redisReaderFeed(reader, piece.baseAddress?.assumingMemoryBound(to: CChar.self), piece.count)
            while let reply = try nextReply() {
                guard onReply(reply) else { return }
            }
            try checkLineLength()
        }
    }

    private func nextReply() throws(RedisProtocolError) -> RedisValue? {
        var object: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &object) == REDIS_OK else {
            let text = withUnsafeBytes(of: reader.pointee.errstr) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw RedisProtocolError(description: text)
        }
        guard object != nil, let reply = answer.take() else { return nil }
        bytes = 0
        return reply
    }

    private func checkLineLength() throws(RedisProtocolError) {
        let position = reader.pointee.pos
        let unread = reader.pointee.len - position
        guard unread > Self.longestLine else { return }
        if currentType == REDIS_REPLY_STRING, let start = reader.pointee.buf {
            // `$` and a length have passed as one line, or will never end.
            let head = UnsafeRawBufferPointer(start: start + position, count: min(unread, 32))
            if head.contains(UInt8(ascii: "\r")) { return }
        }
        throw RedisProtocolError(description: "endless line")
    }

    private var currentType: Int32 {
        let index = Int(reader.pointee.ridx)
        return withUnsafeBytes(of: &reader.pointee.rstack) { tasks in
            let tasks = tasks.assumingMemoryBound(to: redisReadTask.self)
            return tasks.indices.contains(index) ? tasks[index].type : -1
        }
    }

    // MARK: Building values

    /// hiredis wants an object for each value; any pointer that is not null does, and null has it give up.
    nonisolated(unsafe) private static let built = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1)

    nonisolated(unsafe) private static let functions: UnsafeMutablePointer<redisReplyObjectFunctions> = {
        let functions = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)
        functions.initialize(
            to: redisReplyObjectFunctions(
                createString: { task, start, count in
                    let bytes = UnsafeRawBufferPointer(start: start, count: count)
                    let value: RedisValue =
                        switch task?.pointee.type {
                        case REDIS_REPLY_STATUS: .status(String(decoding: bytes, as: UTF8.self))
                        case REDIS_REPLY_ERROR: .error(String(decoding: bytes, as: UTF8.self))
                        default: .string([UInt8](bytes))
                        }
                    return RedisReplyReader.add(value, task)
                },
                createArray: { task, count in
                    guard let reader = RedisReplyReader.of(task) else { return nil }
                    return reader.answer.openArray(Int(count)) ? RedisReplyReader.built : nil
                },
                createInteger: { task, number in RedisReplyReader.add(.integer(number), task) },
                createNil: { task in RedisReplyReader.add(.null, task) },
                freeObject: { _ in }
            )
        )
        return functions
    }()

    private static func of(_ task: UnsafePointer<redisReadTask>?) -> RedisReplyReader? {
        guard let data = task?.pointee.privdata else { return nil }
        return Unmanaged<RedisReplyReader>.fromOpaque(data).takeUnretainedValue()
    }

    private static func add(_ value: consuming RedisValue, _ task: UnsafePointer<redisReadTask>?)
        -> UnsafeMutableRawPointer?
    {
        guard let reader = of(task) else { return nil }
        return reader.answer.add(value) ? built : nil
    }
}

/// The values of an answer so far.
private struct UnfinishedAnswer {
    private struct OpenArray {
        var elements: [RedisValue]
        var missing: Int
    }
    private var openArrays: [OpenArray] = []
    private var root: RedisValue?
    private var elements = 0
    private let maximumElements: Int

    init(maximumElements: Int) { self.maximumElements = maximumElements }

    mutating func take() -> RedisValue? {
        elements = 0
        return root.take()
    }

    /// - Returns: false when the answer has too many elements.
    mutating func openArray(_ count: Int) -> Bool {
        guard count > 0 else { return add(.array([])) }
        elements &+= 1
        guard count <= maximumElements, elements <= maximumElements else { return false }
        var array = OpenArray(elements: [], missing: count)
        // The head may lie about what follows.
        array.elements.reserveCapacity(min(count, 1024))
        openArrays.append(array)
        return true
    }

    /// - Returns: false when the answer has too many elements.
    mutating func add(_ value: consuming RedisValue) -> Bool {
        elements &+= 1
        guard elements <= maximumElements else { return false }
        while true {
            let innermost = openArrays.count - 1
            guard innermost >= 0 else {
                root = value
                return true
            }
            openArrays[innermost].elements.append(value)
            openArrays[innermost].missing -= 1
            guard openArrays[innermost].missing == 0 else { return true }
            value = .array(openArrays.removeLast().elements)
        }
    }
}
