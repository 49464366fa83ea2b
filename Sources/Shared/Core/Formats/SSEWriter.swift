/// Writes Server-Sent Events (WHATWG HTML, 9.2).
package enum SSEWriter {
    /// Appends `event: name`, a `data:` line for each line of the data, and the blank line that ends the event.
    ///
    /// - Parameter name: a literal without line ends; nil for an event without a name.
    package static func append(event name: StaticString? = nil, data: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        if let name {
            out.append(contentsOf: "event: ".utf8)
            out.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
            out.append(UInt8(ascii: "\n"))
        }
        var lines = SSELineEnds(data)
        var at = 0
        repeat {
            let end = lines.next(at)
            out.append(contentsOf: "data: ".utf8)
            out.append(contentsOf: UnsafeRawBufferPointer(rebasing: data[at..<end]))
            out.append(UInt8(ascii: "\n"))
            let isCRLF = end + 1 < data.count && data[end] == UInt8(ascii: "\r") && data[end + 1] == UInt8(ascii: "\n")
            at = end + (isCRLF ? 2 : 1)
        } while at <= data.count
        out.append(UInt8(ascii: "\n"))
    }

    package static func append(event name: StaticString? = nil, data: [UInt8], to out: inout [UInt8]) {
        data.withUnsafeBytes { append(event: name, data: $0, to: &out) }
    }

    package static func append(event name: StaticString? = nil, data: String, to out: inout [UInt8]) {
        var data = data
        data.withUTF8 { append(event: name, data: UnsafeRawBufferPointer($0), to: &out) }
    }

    /// Appends an event that was read with other data.
    package static func append(_ data: [UInt8], inPlaceOf event: SSEEvent, to out: inout [UInt8]) {
        if !event.name.isEmpty {
            out.append(contentsOf: "event: ".utf8)
            out.append(contentsOf: event.name)
            out.append(UInt8(ascii: "\n"))
        }
        append(data: data, to: &out)
    }
}
