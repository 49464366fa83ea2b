import Formats

/// Gives a stream's event the model name that the caller used.
enum EventRenaming {
    private static let longestEvent = 1 << 20

    static func rename(
        _ event: SSEEvent,
        at path: [StaticString],
        to model: String,
        _ parser: JSONParser
    ) -> [UInt8]? {
        guard event.hasData, event.data.first == UInt8(ascii: "{"), event.data.count <= longestEvent else { return nil }
        let range: Range<Int>?? = try? parser.parse(event.data) { $0.locate(path: path).value }
        guard let range = range ?? nil else { return nil }
        let data = Array(event.data)
        var out: [UInt8] = []
        out.reserveCapacity(data.count + model.utf8.count + 64)
        SSEWriter.append(Splice.replacing(range, in: data, with: model), inPlaceOf: event, to: &out)
        return out
    }
}
