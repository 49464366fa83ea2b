package import Formats

/// Turns `invoke-with-response-stream`'s event stream into the Messages API's Server-Sent Events.
///
/// Every `chunk` holds one event's JSON in base 64. An exception becomes an `error` event, and what follows is ignored.
package final class BedrockStream {
    /// What is wrong with a stream beyond its framing.
    package enum Fault: Error, Equatable {
        /// A chunk without JSON, base 64 or an event in it.
        case unreadableChunk
    }

    private var messages: AWSEventStreamParser
    private var decoded: [UInt8] = []
    /// What the upstream itself said went wrong.
    package private(set) var error: BedrockError?

    package init(maximumMessageBytes: Int = 16 << 20) {
        messages = AWSEventStreamParser(maximumMessageBytes: maximumMessageBytes)
    }

    /// Whether the stream ended within a message.
    package var isWithinMessage: Bool { messages.isWithinMessage }

    /// Appends the events that the bytes complete.
    ///
    /// - Throws: `AWSEventStreamError` or `Fault`; then nothing more can be read.
    package func feed(_ bytes: UnsafeRawBufferPointer, _ parser: JSONParser, into out: inout [UInt8]) throws {
        guard error == nil else { return }
        try messages.feed(bytes) { message in
            guard error == nil else { return }
            if message.header(":message-type", is: "event") {
                // Kinds of events that are not known are none of a caller's.
                if message.header(":event-type", is: "chunk") { try append(chunk: message.payload, parser, to: &out) }
            } else if message.header(":message-type", is: "exception") {
                let type = message.string(":exception-type") ?? ""
                let body = BedrockError(Array(message.payload), errorType: type, parser)
                fail(body ?? BedrockError(type: type, message: ""), &out)
            } else if message.header(":message-type", is: "error") {
                let text = message.string(":error-message") ?? ""
                fail(BedrockError(type: message.string(":error-code") ?? "", message: text), &out)
            }
        }
    }

    private func fail(_ error: BedrockError, _ out: inout [UInt8]) {
        self.error = error
        SSEWriter.append(event: "error", data: error.anthropicBody, to: &out)
    }

    private func append(chunk payload: UnsafeRawBufferPointer, _ parser: JSONParser, to out: inout [UInt8]) throws {
        let isDecoded: Bool? = try? parser.parse(payload) { document in
            guard let text = document.root["bytes"]?.stringBytes else { return false }
            guard let bytes = Base64.decode(text) else { return false }
            decoded = bytes
            return true
        }
        guard isDecoded == true else { throw Fault.unreadableChunk }
        // Nearly every event is one of these, and its name can be told without parsing it.
        if decoded.starts(with: Self.deltaHead) {
            return SSEWriter.append(event: "content_block_delta", data: decoded, to: &out)
        }
        let event: (name: String, metrics: Range<Int>?)?? = try? parser.parse(decoded) { document in
            guard let name = document.root["type"]?.string, Self.isEventName(name) else { return nil }
            guard name == "message_stop", let metrics = document.root["amazon-bedrock-invocationMetrics"] else {
                return (name, nil)
            }
            return (name, document.location(of: metrics).member)
        }
        guard let event = event ?? nil else { throw Fault.unreadableChunk }
        // AWS' own figures, which no client of the Messages API knows and which tell of its insides.
        if let metrics = event.metrics { decoded = Self.without(metrics, decoded) }
        out.append(contentsOf: "event: ".utf8)
        out.append(contentsOf: event.name.utf8)
        out.append(UInt8(ascii: "\n"))
        SSEWriter.append(data: decoded, to: &out)
    }

    private static let deltaHead = Array(#"{"type":"content_block_delta","#.utf8)

    /// An object without one of its members, which is not its only one.
    private static func without(_ member: Range<Int>, _ object: [UInt8]) -> [UInt8] {
        let before = object[..<member.lowerBound]
        let after = object[member.upperBound...]
        if let comma = before.lastIndex(where: { !isWhiteSpace($0) }), before[comma] == UInt8(ascii: ",") {
            return Array(before[..<comma] + after)
        }
        guard let comma = after.firstIndex(of: UInt8(ascii: ",")) else { return object }
        return Array(before + after[(comma + 1)...])
    }

    private static func isWhiteSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }

    /// It goes onto a line of its own, so it must not end one.
    private static func isEventName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0 == UInt8(ascii: "_") }
    }
}
