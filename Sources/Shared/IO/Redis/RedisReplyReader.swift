import CHiredis

/// The server broke RESP, or an answer is larger than we take.
package struct RedisProtocolError: Error, Equatable, CustomStringConvertible {
    package let description: String
}

/// Cuts the server's bytes into answers: hiredis' incremental parser, writing down what it meets.
///
/// It is written in the order in which hiredis meets it, into memory that is kept, so an answer costs no objects.
/// hiredis bounds nesting (7 levels); sizes are bounded here.
package final class RedisReplyReader {
    private let reader: UnsafeMutablePointer<redisReader>
    private let maximumBytes: Int
    /// Where hiredis' callbacks find it without counting references.
    private let answer: UnsafeMutablePointer<UnfinishedAnswer>
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
        answer = .allocate(capacity: 1)
        answer.initialize(to: UnfinishedAnswer(maximumElements: maximumElements))
        reader.pointee.maxbuf = 4 * Self.slice
        reader.pointee.privdata = UnsafeMutableRawPointer(answer)
    }

    deinit {
        redisReaderFree(reader)
        answer.deinitialize(count: 1)
        answer.deallocate()
    }

    /// Takes bytes and lends out each answer that they complete, until `onReply` returns false.
    package func feed(
        _ input: UnsafeRawBufferPointer,
        _ onReply: (borrowing RedisReply) -> Bool
    ) throws(RedisProtocolError) {
        var rest = input[...]
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(Self.slice))
            rest = rest.dropFirst(Self.slice)
            bytes &+= piece.count
            guard bytes <= maximumBytes else { throw RedisProtocolError(description: "answer too large") }
            redisReaderFeed(reader, piece.baseAddress?.assumingMemoryBound(to: CChar.self), piece.count)
            while try hasReply() {
                bytes = 0
                let goesOn = onReply(answer.pointee.reply)
                answer.pointee.reply.clear()
                guard goesOn else { return }
            }
            try checkLineLength()
        }
    }

    private func hasReply() throws(RedisProtocolError) -> Bool {
        var object: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &object) == REDIS_OK else {
            let text = withUnsafeBytes(of: reader.pointee.errstr) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw RedisProtocolError(description: text)
        }
        return object != nil
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

    // MARK: Writing answers down

    nonisolated(unsafe) private static let functions: UnsafeMutablePointer<redisReplyObjectFunctions> = {
        let functions = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)
        functions.initialize(
            to: redisReplyObjectFunctions(
                createString: { task, start, count in
                    UnfinishedAnswer.add(task) { reply in
                        let kind: RedisReply.Element.Kind =
                            switch task?.pointee.type {
                            case REDIS_REPLY_STATUS: .status
                            case REDIS_REPLY_ERROR: .error
                            default: .string
                            }
                        reply.add(kind, UnsafeRawBufferPointer(start: start, count: count))
                    }
                },
                createArray: { task, count in
                    UnfinishedAnswer.add(task, elements: Int(count)) { $0.addArray(of: Int(count)) }
                },
                createInteger: { task, number in UnfinishedAnswer.add(task) { $0.add(number) } },
                createNil: { task in UnfinishedAnswer.add(task) { $0.addNull() } },
                freeObject: { _ in }
            )
        )
        return functions
    }()
}

private struct UnfinishedAnswer: ~Copyable {
    var reply = RedisReply()
    private let maximumElements: Int

    init(maximumElements: Int) { self.maximumElements = maximumElements }

    /// Adds a value to the answer that a task of hiredis belongs to.
    ///
    /// - Parameter elements: how many will follow that are its own, as its head says, which may lie.
    /// - Returns: what hiredis takes for the object: any pointer does, and null, when there are too many, has it give up.
    @inline(__always)
    static func add(
        _ task: UnsafePointer<redisReadTask>?,
        elements: Int = 0,
        _ add: (inout RedisReply) -> Void
    ) -> UnsafeMutableRawPointer? {
        guard let data = task?.pointee.privdata else { return nil }
        let answer = data.assumingMemoryBound(to: UnfinishedAnswer.self)
        guard max(elements, answer.pointee.reply.elements.count + 1) <= answer.pointee.maximumElements else {
            return nil
        }
        add(&answer.pointee.reply)
        return data
    }
}
