package import Formats

/// Ids of answers for callers.
package enum AnswerIDs {
    /// The upstream's own id in the caller's clothes, or one made from the request's.
    package static func id(_ upstream: String, prefix: String, _ context: AnswerContext) -> String {
        if upstream.isEmpty { return prefix + context.requestID }
        return upstream.hasPrefix(prefix) ? upstream : prefix + upstream
    }
}

/// A generated image for dialects whose answers hold text only: Markdown, which their clients show.
package enum MarkdownImage {
    package static func text(mediaType: String, data: String) -> String { "![image](data:\(mediaType);base64,\(data))" }
}

package enum SSEText {
    /// Appends an event with one line of JSON data, without a buffer between.
    package static func append(
        event name: StaticString? = nil,
        to out: inout [UInt8],
        _ data: (inout JSONWriter) -> Void
    ) {
        if let name {
            out.append(contentsOf: "event: ".utf8)
            out.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
            out.append(UInt8(ascii: "\n"))
        }
        out.append(contentsOf: "data: ".utf8)
        var taken: [UInt8] = []
        swap(&taken, &out)
        var json = JSONWriter(appendingTo: taken)
        data(&json)
        out = json.bytes
        out.append(contentsOf: "\n\n".utf8)
    }
}
