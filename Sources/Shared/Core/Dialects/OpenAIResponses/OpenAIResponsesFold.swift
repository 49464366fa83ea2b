import Domain
package import Formats

/// The whole answer of a Responses stream, for callers who did not ask for one where the upstream gives nothing else.
package struct OpenAIResponsesFold {
    /// The `response` of the last event that carries one; an error event as `{"error":…}`; nil for neither.
    package private(set) var response: [UInt8]?
    /// Whether it has no content and no error, by the rule that streams are followed by.
    package let isEmpty: Bool

    package init(_ stream: [UInt8], _ parser: JSONParser) {
        var events = SSEParser(maximumEventBytes: stream.count + 1)
        var found: [UInt8]?
        var items: [Item] = []
        let meter = OpenAIResponsesMeter()
        try? events.feed(stream) { event in
            let kind = meter.receive(event, parser)
            if let item = Item(event, parser) { items.append(item) }
            guard kind == .end || kind == .error else { return }
            let range: Range<Int>?? = try? parser.parse(event.data) { $0.locateTopLevel("response").value }
            if let range = range ?? nil {
                found = Array(event.data[range])
            } else if kind == .error {
                found = Array(#"{"error":"#.utf8) + Array(event.data) + Array("}".utf8)
            }
        }
        response = found.map { Self.completed($0, with: items, parser) }
        isEmpty = !meter.hasContent && !meter.hasFailed
    }

    /// An item of the output, as the event that ends it has it.
    private struct Item {
        let place: Int64
        let bytes: [UInt8]

        /// Nil for all other events.
        init?(_ event: SSEEvent, _ parser: JSONParser) {
            guard event.isComplete, event.name.isEmpty || event.name.equals("response.output_item.done") else {
                return nil
            }
            let found: (place: Int64, range: Range<Int>)?? = try? parser.parse(event.data) { document in
                guard document.root["type"]?.equals("response.output_item.done") == true,
                    let range = document.locateTopLevel("item").value
                else { return nil }
                return (document.root["output_index"]?.int64 ?? .max, range)
            }
            guard let (place, range) = found ?? nil else { return nil }
            self.place = place
            bytes = Array(event.data[range])
        }
    }

    /// Subscriptions' streams may end with an `output` that has none of the items that they have brought before.
    private static func completed(_ response: [UInt8], with items: [Item], _ parser: JSONParser) -> [UInt8] {
        guard !items.isEmpty else { return response }
        let empty: Range<Int>?? = try? parser.parse(response) { document in
            guard let output = document.root["output"], output.kind == .array, output.count == 0 else { return nil }
            return document.locateTopLevel("output").value
        }
        guard let empty = empty ?? nil else { return response }
        // Items without a place stay as they came.
        let inOrder = items.enumerated().sorted { ($0.element.place, $0.offset) < ($1.element.place, $1.offset) }
        let output = inOrder.map(\.element.bytes).joined(separator: [UInt8(ascii: ",")])
        return Splice.applying(
            [CallSummary.Insertion([UInt8(ascii: "[")] + output + [UInt8(ascii: "]")], replacing: empty)],
            to: response
        )
    }
}
